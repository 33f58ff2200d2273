"""Predicates on sets of prefixes."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.prefixset import MAX_PREFIXES, PrefixSet
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.rows import lazily_any_side, predicate
from pfq.lang.prims.table import Prim


def addr_in(m: Machine, addresses: PrefixSet, *sides: Side) -> bool:
    ip = m.headers.ip
    return ip is not None and any((ip.src if side == "src" else ip.dst) in addresses for side in sides)


def lower_addr_in(e: Emitter, addresses: PrefixSet, *sides: Side) -> Code:
    return lazily_any_side(e, sides, lambda side: e.address_in_set(side, addresses))


def row(name: str, where: str, *sides: Side) -> Prim:
    """Without `sides` the predicate looks at those that the program chose."""
    return predicate(
        name,
        "PrefixSet",
        f"is IP and its {where} address lies in a set of at most {MAX_PREFIXES} prefixes, "
        "which are listed in the text or stand in the file that it names",
        lambda m, addresses: addr_in(m, addresses, *(sides or m.sides)),
        lambda e, addresses: lower_addr_in(e, addresses, *(sides or e.sides)),
        '"10.0.0.0/8, 192.168.0.1, 2001:db8::/32"',
    )


ROWS: tuple[Prim, ...] = (
    row("addr_in", "source or destination"),
    row("src_addr_in", "source", "src"),
    row("dst_addr_in", "destination", "dst"),
)
