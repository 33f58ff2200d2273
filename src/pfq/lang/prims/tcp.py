"""Predicates on the TCP flags."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.packet import TCP
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.headers import TCP_BYTES, lower_proto
from pfq.lang.prims.rows import predicate
from pfq.lang.prims.table import Prim

FLAGS_OFFSET = 13
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


def flags_are(name: str, looked_at: int, wanted: int, what: str) -> Prim:
    """A predicate that wants some flags set and the others that it looks at clear."""

    def run(m: Machine) -> bool:
        header = m.headers.tcp
        return header is not None and header[FLAGS_OFFSET] & looked_at == wanted

    def lower(e: Emitter) -> Code:
        flags = e.bits(e.load("l4", FLAGS_OFFSET, 1), e.number(looked_at))
        return e.both(lower_proto(e, TCP, TCP_BYTES), e.compare("==", flags, e.number(wanted)))

    return predicate(name, "", what, run, lower)


ROWS: tuple[Prim, ...] = (
    flags_are("is_syn", SYN | ACK, SYN, "opens a TCP connection: SYN without ACK"),
    flags_are("is_synack", SYN | ACK, SYN | ACK, "answers the opening of a TCP connection: SYN and ACK"),
    flags_are("is_fin", FIN, FIN, "ends one direction of a TCP connection: FIN"),
    flags_are("is_rst", RST, RST, "aborts a TCP connection: RST"),
)
