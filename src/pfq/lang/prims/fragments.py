"""Predicates and filters on fragments of IPv4 and IPv6 datagrams."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.rows import passing, predicate
from pfq.lang.prims.table import Prim


def is_frag(m: Machine) -> bool:
    return m.headers.ip is not None and m.headers.ip.fragment


def is_later_frag(m: Machine) -> bool:
    return m.headers.ip is not None and m.headers.ip.later


def lower_frag(e: Emitter) -> Code:
    return e.is_fragment()


def lower_later_frag(e: Emitter) -> Code:
    """The protocol is known, and yet there is no place where its header begins."""
    known, _ = e.l4_proto()
    return e.both(known, e.compare("==", e.l4_offset(), e.number(0)))


ROWS: tuple[Prim, ...] = (
    predicate("is_frag", "", "is a fragment of an IP datagram", is_frag, lower_frag),
    predicate(
        "is_first_frag",
        "",
        "is the first fragment of an IP datagram",
        lambda m: is_frag(m) and not is_later_frag(m),
        lambda e: e.both(lower_frag(e), e.negated(lower_later_frag(e))),
    ),
    predicate(
        "is_later_frag",
        "",
        "is a fragment of an IP datagram, but not the first one",
        is_later_frag,
        lower_later_frag,
        aliases=("is_more_frag",),
    ),
    passing(
        "no_frag",
        "",
        "is no fragment of an IP datagram",
        lambda m: not is_frag(m),
        lambda e: e.negated(lower_frag(e)),
    ),
    passing(
        "no_later_frag",
        "",
        "is no fragment of an IP datagram, or the first one",
        lambda m: not is_later_frag(m),
        lambda e: e.negated(lower_later_frag(e)),
        aliases=("no_more_frag",),
    ),
)
