"""The table of primitives: one row each, and everything that knows a primitive reads its row.

Checker, interpreter, both compilers, `pfq functions`, `pfq explain`, the manual and the tests are
driven by `PRIMS`. A new primitive is one new row in the module of its family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pfq.errors import ExtensionError


class Kind(Enum):
    """What a primitive is once all its arguments are given."""

    ACTION = "action"
    PREDICATE = "predicate"
    PROPERTY = "property"


_RESULTS = {
    "Packet -> Action Packet": Kind.ACTION,
    "Packet -> Bool": Kind.PREDICATE,
    "Packet -> Word64": Kind.PROPERTY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prim:
    """One primitive.

    name     as in the source
    type     in the surface syntax; ends with one of the three results above
    doc      one sentence, ends with a full stop
    run      reference meaning: `run(machine, *args)` -> bool for an action (False: dropped),
             bool for a predicate, int or None (absent) for a property
    lower    the same meaning as code: `lower(emitter, *args)`, see `Emitter`
    example  a program or expression that uses it
    family   what it belongs to, in one word
    check    what is wrong with these arguments beyond their types, or None
    aliases  other accepted names
    """

    name: str
    type: str
    doc: str
    run: Callable[..., Any]
    lower: Callable[..., Any]
    example: str
    family: str = ""
    check: Callable[..., str | None] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        for result, kind in _RESULTS.items():
            if self.type.endswith(result):
                return kind
        raise ValueError(f"{self.name}: type `{self.type}` ends with no known result")

    def __repr__(self) -> str:
        return f"<Prim {self.name}>"


class Table(Mapping[str, Prim]):
    """Primitives by name. Iteration gives each once; look-up also knows the aliases."""

    def __init__(self) -> None:
        self._rows: dict[str, Prim] = {}
        self._aliases: dict[str, str] = {}

    def add(self, *rows: Prim) -> None:
        """Adds rows, all or none; raises ValueError when a name is taken."""
        taken = {*self._rows, *self._aliases}
        for row in rows:
            for name in (row.name, *row.aliases):
                if name in taken:
                    raise ValueError(f"primitive `{name}` is in the table already")
                taken.add(name)
        for row in rows:
            self._rows[row.name] = row
            self._aliases.update(dict.fromkeys(row.aliases, row.name))

    def __getitem__(self, name: str) -> Prim:
        return self._rows[self._aliases.get(name, name)]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def names(self) -> tuple[str, ...]:
        """All accepted names, aliases too."""
        return (*self._rows, *self._aliases)

    def broken(self) -> tuple[ExtensionError, ...]:
        """What keeps installed packages from adding their rows."""
        return ()

    def why_missing(self) -> str | None:
        """Why a name may be missing here although a package has it, or None."""
        return "; ".join(fault.message for fault in self.broken()) or None


class OpenTable(Table):
    """A table to which installed packages add rows, through entry points of a group.

    Packages are looked for when a name is missed or the table is listed, not before: that takes
    longer than to compile a program. Names in the table itself are found without.
    """

    def __init__(self, group: str) -> None:
        super().__init__()
        self._group = group
        self._found: tuple[Table, tuple[ExtensionError, ...]] | None = None

    def add(self, *rows: Prim) -> None:
        super().add(*rows)
        self._found = None

    def _more(self) -> Table:
        return self._look()[0]

    def _look(self) -> tuple[Table, tuple[ExtensionError, ...]]:
        if self._found is None:
            from pfq.lang.prims.extensions import installed

            # A package that asks for a missing name while it is imported comes here again; the outer call wins.
            self._found = installed(self._group, super().names())
        return self._found

    def __getitem__(self, name: str) -> Prim:
        if super().__contains__(name) or not may_be_added(name):
            return super().__getitem__(name)
        if name not in self._more() and (reason := self.why_missing()):
            raise ExtensionError(f"`{name}` is not built in, and {reason}", hint=self.broken()[0].hint)
        return self._more()[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (may_be_added(name) and name in self._more())

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from self._more()

    def __len__(self) -> int:
        return super().__len__() + len(self._more())

    def names(self) -> tuple[str, ...]:
        return (*super().names(), *self._more().names())

    def broken(self) -> tuple[ExtensionError, ...]:
        return self._look()[1]


def may_be_added(name: object) -> bool:
    """A package may give a primitive this name: it is also one in Python, where `not_` stands for `not`."""
    if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
        return False
    return name[0].islower() and not name.endswith("_")
