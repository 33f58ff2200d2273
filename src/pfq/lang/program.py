"""The typed program: what is left after names, parameters and constants are evaluated away.

A program is a chain of calls of primitives. `f >-> g` is one flat chain, so composition is
associative by construction and `unit` is the empty chain. Nodes are immutable and each keeps the
place in the source it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.prefixset import PrefixSet
from pfq.source import Span

if TYPE_CHECKING:
    from pfq.lang.prims.table import Prim


@dataclass(frozen=True, slots=True)
class Prefix:
    """An IPv4 or IPv6 prefix. Bits of the address past `length` are ignored (and cleared here)."""

    network: IPv4Network | IPv6Network

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """From `ADDRESS/LENGTH`, or an address alone for the longest prefix; raises ValueError."""
        if "%" in text:
            raise ValueError("a prefix has no scope")
        return cls(ip_network(text, strict=False))

    @property
    def version(self) -> int:
        return self.network.version

    @property
    def bytes(self) -> bytes:
        return self.network.network_address.packed

    @property
    def length(self) -> int:
        return self.network.prefixlen

    def __str__(self) -> str:
        return str(self.network)


@dataclass(frozen=True, slots=True)
class Call:
    """One primitive with all its arguments: a predicate, a property or one action of a chain."""

    prim: Prim
    args: tuple[Value, ...] = ()
    span: Span | None = field(default=None, compare=False)

    def __str__(self) -> str:
        from pfq.lang.show import show

        return show(self)


@dataclass(frozen=True, slots=True)
class Chain:
    """`f >-> g >-> h`, from left to right. The empty chain is `unit`."""

    calls: tuple[Call, ...] = ()
    span: Span | None = field(default=None, compare=False)

    def __str__(self) -> str:
        from pfq.lang.show import show

        return show(self)


Value = int | str | Prefix | PrefixSet | BerkeleyFilter | Call | Chain | tuple["Value", ...]
"""An argument: number, text, prefix, set of prefixes, filter, predicate or property, action, or a list of these."""


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program: the chain that `main` stands for."""

    main: Chain
    source: str = field(default="", compare=False)

    def __str__(self) -> str:
        return str(self.main)

    def calls(self) -> Iterator[Call]:
        """All calls of the program, outer before inner, left before right."""
        yield from calls_of(self.main)


def calls_of(value: Value) -> Iterator[Call]:
    """All calls inside a value, outer before inner, left before right."""
    match value:
        case Chain(calls):
            for call in calls:
                yield from calls_of(call)
        case Call(_, args):
            yield value
            for arg in args:
                yield from calls_of(arg)
        case tuple():
            for item in value:
                yield from calls_of(item)
        case _:
            return
