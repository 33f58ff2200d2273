"""What a package needs that adds primitives to the language.

    from pfq.primitives import Prim, pair

Rows are `Prim`; `pair`, `predicate` and `passing` build the usual ones. The reference meaning of a row works on a
`Machine`, its code is written with an `Emitter`. The manual has an example from end to end.
"""

from pfq.lang.action import ANY_CLASSES, EventKind, Fanout
from pfq.lang.interp import Machine
from pfq.lang.packet import ICMP, ICMP6, TCP, UDP, Headers, Ip, Packet, number
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.forward import broadcast, lower_broadcast
from pfq.lang.prims.headers import lower_proto
from pfq.lang.prims.rows import any_side, pair, passing, predicate, sided
from pfq.lang.prims.steering import folded, raw, steer
from pfq.lang.prims.table import Kind, Prim
from pfq.lang.program import Call, Chain, Prefix

__all__ = [
    # rows
    "Kind",
    "Prim",
    "any_side",
    "pair",
    "passing",
    "predicate",
    "sided",
    # arguments that are no numbers or texts
    "Call",
    "Chain",
    "Prefix",
    # the reference meaning
    "Headers",
    "Ip",
    "Machine",
    "Packet",
    "broadcast",
    "folded",
    "number",
    "raw",
    "steer",
    # code
    "Code",
    "Emitter",
    "Side",
    "lower_broadcast",
    "lower_proto",
    # numbers with a meaning
    "ANY_CLASSES",
    "EventKind",
    "Fanout",
    "ICMP",
    "ICMP6",
    "TCP",
    "UDP",
]
