"""Debug information: which place in the user's program an instruction comes from.

Every call of a primitive gets a line number of its own, an index into `Places.spans`. The numbers
travel through LLVM into the object's line table, and come back when the verifier names an
instruction. The same debug information describes the functions' types, which the kernel needs to
verify a global function by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from pfq.source import Span


class Nowhere:
    """No debug information: for code of the host, which no verifier reads."""

    @contextmanager
    def at(self, builder: ir.IRBuilder, span: Span | None) -> Iterator[None]:
        """Code emitted inside comes from `span`."""
        yield


class Places(Nowhere):
    """The debug information of one module."""

    def __init__(self, module: ir.Module) -> None:
        self.module = module
        self.spans: list[Span] = []
        self._lines: dict[Span, int] = {}
        self._scope: ir.DIValue | None = None
        self._scopes: dict[ir.Function, tuple[ir.DIValue, ir.MDValue]] = {}
        self._file = module.add_debug_info("DIFile", {"filename": "program.pfq", "directory": ""})
        self._unit = module.add_debug_info(
            "DICompileUnit",
            {
                "language": ir.DIToken("DW_LANG_C99"),
                "file": self._file,
                "producer": "pfq",
                "isOptimized": True,
                "runtimeVersion": 0,
                "emissionKind": ir.DIToken("FullDebug"),
            },
            is_distinct=True,
        )
        module.add_named_metadata("llvm.dbg.cu", self._unit)
        for name, value in (("Debug Info Version", 3), ("Dwarf Version", 4)):
            module.add_named_metadata("llvm.module.flags", [ir.IntType(32)(2), name, ir.IntType(32)(value)])
        self._u32 = self._integer("unsigned int", 32)

    def _integer(self, name: str, bits: int) -> ir.DIValue:
        return self.module.add_debug_info(
            "DIBasicType", {"name": name, "size": bits, "encoding": ir.DIToken("DW_ATE_unsigned")}
        )

    def _context(self, struct: str, size: int) -> ir.DIValue:
        """Pointer to the kernel's context structure; the kernel goes by the structure's name."""
        body = self.module.add_debug_info(
            "DICompositeType",
            {
                "tag": ir.DIToken("DW_TAG_structure_type"),
                "name": struct,
                "file": self._file,
                "size": size * 8,
                "elements": self.module.add_metadata([]),
            },
        )
        return self.module.add_debug_info(
            "DIDerivedType", {"tag": ir.DIToken("DW_TAG_pointer_type"), "baseType": body, "size": 64}
        )

    def function(self, function: ir.Function, context: tuple[str, int], words: Sequence[str] = ()) -> None:
        """Describes `u32 function(context *ctx, u32 words...)` and makes it the current scope.

        The kernel takes the first argument for the context by the name of the structure.
        """
        arguments = [("ctx", self._context(*context)), *((word, self._u32) for word in words)]
        types = [self._u32, *(kind for _, kind in arguments)]
        signature = self.module.add_debug_info("DISubroutineType", {"types": self.module.add_metadata(types)})
        self._scope = self.module.add_debug_info(
            "DISubprogram",
            {
                "name": function.name,
                "file": self._file,
                "line": 0,
                "type": signature,
                "isLocal": False,
                "isDefinition": True,
                "unit": self._unit,
            },
            is_distinct=True,
        )
        names = [
            self.module.add_debug_info(
                "DILocalVariable", {"name": name, "arg": number, "scope": self._scope, "file": self._file, "type": kind}
            )
            for number, (name, kind) in enumerate(arguments, 1)
        ]
        function.set_metadata("dbg", self._scope)
        self._scopes[function] = self._scope, self.module.add_metadata(names)

    def scope(self, function: ir.Function) -> None:
        """Code from here on belongs to this function, which is described already."""
        self._scope, _ = self._scopes[function]

    def finish(self) -> None:
        """Gives the functions their arguments' names, which the kernel insists on.

        Done last, for functions and arguments refer to each other and llvmlite cannot hash a cycle.
        """
        for scope, names in self._scopes.values():
            scope.operands += (("retainedNodes", names),)

    def _location(self, line: int) -> ir.DIValue:
        return self.module.add_debug_info("DILocation", {"line": line, "column": 1, "scope": self._scope})

    def start(self, builder: ir.IRBuilder) -> None:
        """Code from here on comes from no place in the program."""
        builder.debug_metadata = self._location(0)

    @contextmanager
    def at(self, builder: ir.IRBuilder, span: Span | None) -> Iterator[None]:
        """Code emitted inside comes from `span`."""
        if span is None or self._scope is None:
            yield
            return
        before = builder.debug_metadata
        line = self._lines.setdefault(span, len(self.spans) + 1)
        if line > len(self.spans):
            self.spans.append(span)
        builder.debug_metadata = self._location(line)
        yield
        builder.debug_metadata = before
