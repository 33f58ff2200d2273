"""Types: how they are written, compared and named to the user.

`Packet -> Action Packet`, `Packet -> Bool` and `Packet -> Word64` are one type each (an action, a
predicate, a property): packets are never values of the language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Con:
    """A type with a name. A lower-case one is a type variable of a signature."""

    name: str


@dataclass(frozen=True, slots=True)
class Fun:
    parameter: Type
    result: Type


@dataclass(frozen=True, slots=True)
class List:
    item: Type


@dataclass(eq=False, slots=True)
class Var:
    """A type not known yet.

    allowed  names of the types it may become; None for any type
    level    number of definitions around the place where it arose
    """

    level: int
    allowed: frozenset[str] | None = None
    link: Type | None = None


Type = Con | Fun | List | Var

ACTION: Final = Con("Packet -> Action Packet")
PREDICATE: Final = Con("Packet -> Bool")
PROPERTY: Final = Con("Packet -> Word64")
STRING, CIDR, IPV4, BOOL = Con("String"), Con("CIDR"), Con("IPv4"), Con("Bool")
PREFIX_SET, BERKELEY_FILTER = Con("PrefixSet"), Con("BerkeleyFilter")
WORD64: Final = Con("Word64")
ERROR: Final = Con("?")
"""The type of a part that was reported already: fits everywhere."""

RANGES: Final = {
    **{f"Word{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    **{f"Int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    "CInt": (-(1 << 31), (1 << 31) - 1),
    "CDouble": (-(1 << 53), 1 << 53),
}
"""Smallest and largest whole number of each type of number."""

NUMBERS: Final = frozenset(RANGES)
TEXTS: Final = frozenset({"String", "CIDR", "IPv4", "PrefixSet", "BerkeleyFilter"})
"""What a text literal may be."""
ADDRESSES: Final = frozenset({"CIDR", "IPv4"})
"""What a bare address may be."""


def pruned(kind: Type) -> Type:
    """The type behind the links of a variable that became known."""
    while isinstance(kind, Var) and kind.link is not None:
        kind = kind.link
    return kind


def parameters(kind: Type) -> tuple[list[Type], Type]:
    """Types of the parameters of a function, and of its result."""
    found: list[Type] = []
    kind = pruned(kind)
    while isinstance(kind, Fun):
        found.append(kind.parameter)
        kind = pruned(kind.result)
    return found, kind


def shown(kind: Type) -> str:
    """The type as it is written in a signature."""
    return _Writer().write(kind)


class _Writer:
    """Writes types; unknown ones become a, b, c …"""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}

    def write(self, kind: Type, *, inner: bool = False) -> str:
        match pruned(kind):
            case Con(name):
                text = name
            case List(item):
                return f"[{self.write(item)}]"
            case Fun(parameter, result):
                text = f"{self.write(parameter, inner=True)} -> {self.write(result)}"
            case Var() as var:
                return self.names.setdefault(id(var), _unknown(var, len(self.names)))
        return f"({text})" if inner and "->" in text else text


def _unknown(var: Var, number: int) -> str:
    if var.allowed is not None and var.allowed <= NUMBERS:
        return "number"
    if var.allowed is not None:
        return "String" if "String" in var.allowed else "CIDR"
    return chr(ord("a") + number % 26)


def described(kind: Type) -> str:
    """The type in words, for a sentence: "a predicate", "a number (Word16)"."""
    kind = pruned(kind)
    match kind:
        case Con("Packet -> Action Packet"):
            return "an action"
        case Con("Packet -> Bool"):
            return "a predicate"
        case Con("Packet -> Word64"):
            return "a property"
        case Con("String"):
            return "a text"
        case Con("CIDR"):
            return "an address or prefix"
        case Con("IPv4"):
            return "an IPv4 address"
        case Con("PrefixSet"):
            return "a set of prefixes"
        case Con("BerkeleyFilter"):
            return "a filter expression"
        case Con("Bool"):
            return "True or False"
        case Con(name):
            return f"a number ({name})" if name in RANGES else f"of type `{name}`"
        case List(item):
            return "a list" if isinstance(pruned(item), Var) else f"a list ({shown(kind)})"
        case Fun():
            return f"a function ({shown(kind)})"
        case Var(_, allowed):
            return _described_var(allowed)


def _described_var(allowed: frozenset[str] | None) -> str:
    if allowed is None:
        return "anything"
    if allowed <= NUMBERS:
        return "a number"
    return "a text" if "String" in allowed else "an address"
