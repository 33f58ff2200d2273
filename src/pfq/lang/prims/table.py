"""The table of primitives: one row each, and everything that knows a primitive reads its row.

Checker, interpreter, both compilers, `pfq functions`, `pfq explain`, the manual and the tests are
driven by `PRIMS`. A new primitive is one new row in the module of its family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


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
        """Adds rows; raises ValueError when a name is taken."""
        for row in rows:
            for name in (row.name, *row.aliases):
                if name in self:
                    raise ValueError(f"primitive `{name}` is in the table already")
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
