"""Programs as functions of this process: the same IR as for the kernel, compiled for the host."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import llvmlite.binding as binding
from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.emitter import CodeEmitter, start_action
from pfq.codegen.facts import Facts
from pfq.codegen.headers import HeaderCode
from pfq.codegen.llvm import I8, I64, PTR, host_machine, new_module, optimised, stack_slot
from pfq.codegen.places import Nowhere
from pfq.lang.action import COUNTERS, Action, Fanout
from pfq.lang.packet import HEADER_WINDOW, Tag
from pfq.lang.program import Program

ENTRY = "decide"


@dataclass
class HostWindow:
    """The frame as a pointer and a length, both arguments of the function."""

    frame: ir.Value
    length: ir.Value
    tags: ir.Value

    def reach(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        inside = b.append_basic_block("inside")
        b.cbranch(b.icmp_unsigned("<=", b.add(offset, I64(size)), self.length), inside, fail)
        b.position_at_end(inside)
        return b.gep(self.frame, [offset], source_etype=I8)

    def forget(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        return value

    def stripped_tags(self, b: ir.IRBuilder) -> ir.Value:
        return self.tags


def host_module(program: Program) -> ir.Module:
    """The function `void decide(frame, u64 length, u64 stripped_tags, action, counters)`.

    The action is the structure of `layouts`; its mark is read before it is written.
    """
    module = new_module("pfq", host_machine())
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64, I64, PTR, PTR]), ENTRY)
    for pointer in (0, 3, 4):
        function.args[pointer].add_attribute("noalias")
    frame, length, tags, record, counters = function.args
    entry, decide, end = (function.append_basic_block(name) for name in ("entry", "decide", "end"))

    b = ir.IRBuilder(entry)
    short = b.icmp_unsigned("<", length, I64(HEADER_WINDOW))
    window = HostWindow(frame, b.select(short, length, I64(HEADER_WINDOW)), tags)
    slots = stack_slot(b, ir.ArrayType(I64, layouts.MAX_FACTS))

    facts = Facts()
    at_decide = ir.IRBuilder(decide)
    start_action(at_decide, record)
    CodeEmitter(at_decide, facts, Nowhere(), record=record, slots=slots, counters=counters).program(program.main, end)
    HeaderCode(b, facts, slots, window).emit()
    b.branch(decide)
    ir.IRBuilder(end).ret_void()
    return module


class ActionRecord(ctypes.LittleEndianStructure):
    """The action as generated code writes it; offsets as in `layouts`."""

    _fields_ = (
        ("classes", ctypes.c_uint64),
        ("fanout", ctypes.c_uint32),
        ("hash", ctypes.c_uint32),
        ("hash2", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("kernel", ctypes.c_uint32),
    )

    def action(self, counters: dict[int, int]) -> Action:
        """As the interpreter reports it."""
        return Action(
            fanout=Fanout(self.fanout),
            classes=self.classes,
            hash=self.hash,
            hash2=self.hash2,
            kernel=bool(self.kernel),
            mark=self.mark,
            state=self.state,
            counters=counters,
        )


class NativeProgram:
    """A program compiled for the host. Keep it as long as its function is in use.

    level  how much LLVM optimises, 0 to 3; it changes the speed and nothing else
    """

    def __init__(self, program: Program, level: int = 2) -> None:
        machine = host_machine()
        module = optimised(host_module(program), machine, level)
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self.address = self._engine.get_function_address(ENTRY)
        signature = ctypes.CFUNCTYPE(
            None, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p
        )
        self._function = signature(self.address)

    def decide(self, frame: bytes, *, mark: int = 0, tag: Tag | None = None) -> Action:
        """The action for one frame; for tests and small jobs, for each call enters Python."""
        record = ActionRecord(mark=mark)
        counters = (ctypes.c_uint64 * COUNTERS)()
        self._function(frame, len(frame), int(tag is not None), ctypes.addressof(record), ctypes.addressof(counters))
        return record.action({index: count for index, count in enumerate(counters) if count})
