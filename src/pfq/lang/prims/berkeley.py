"""Filters of libpcap and tcpdump as predicates."""

from __future__ import annotations

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.interp import Machine
from pfq.lang.prims.rows import predicate
from pfq.lang.prims.table import Prim


def bpf(m: Machine, wanted: BerkeleyFilter) -> bool:
    return wanted.accepts(m.packet.wire_window, m.packet.length)


ROWS: tuple[Prim, ...] = (
    predicate(
        "bpf",
        "BerkeleyFilter",
        "is accepted by a filter expression, as tcpdump takes it, or by classic BPF bytecode, as `tcpdump -ddd` prints "
        "it; either looks at the outermost frame as it was on the wire",
        bpf,
        lambda e, wanted: e.berkeley(wanted),
        '"tcp port 80 or icmp"',
    ),
)
