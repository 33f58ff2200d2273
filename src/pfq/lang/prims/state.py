"""What a program writes down: the mark, the state and the counters."""

from __future__ import annotations

from pfq.lang.action import COUNTERS
from pfq.lang.interp import Machine
from pfq.lang.prims.table import Prim


def mark(m: Machine, value: int) -> bool:
    m.action.mark = value
    return True


def put_state(m: Machine, value: int) -> bool:
    m.action.state = value
    return True


def inc(m: Machine, index: int) -> bool:
    m.action.counters[index] = m.action.counters.get(index, 0) + 1
    return True


def check_counter(index: int) -> str | None:
    return None if 0 <= index < COUNTERS else f"there is no counter {index}: counters are 0 to {COUNTERS - 1}"


ROWS: tuple[Prim, ...] = (
    Prim(
        name="mark",
        type="Word32 -> Packet -> Action Packet",
        doc="Sets the packet's mark, which later groups see and the end-points read.",
        run=mark,
        lower=lambda e, value: e.set_mark(e.number(value)),
        example="when is_tcp (mark 6)",
        family="state",
    ),
    Prim(
        name="put_state",
        type="Word32 -> Packet -> Action Packet",
        doc="Sets the state, which starts at 0 for every packet in every group and which the end-points read.",
        run=put_state,
        lower=lambda e, value: e.set_state(e.number(value)),
        example="put_state 1",
        family="state",
    ),
    Prim(
        name="has_mark",
        type="Word32 -> Packet -> Bool",
        doc="True when the packet's mark is the number.",
        run=lambda m, value: m.action.mark == value,
        lower=lambda e, value: e.compare("==", e.mark(), e.number(value)),
        example="when (has_mark 6) drop",
        family="predicate",
    ),
    Prim(
        name="has_state",
        type="Word32 -> Packet -> Bool",
        doc="True when the state is the number.",
        run=lambda m, value: m.action.state == value,
        lower=lambda e, value: e.compare("==", e.state(), e.number(value)),
        example="when (has_state 1) steer_flow",
        family="predicate",
    ),
    Prim(
        name="inc",
        type="CInt -> Packet -> Action Packet",
        doc="Adds one to one of the group's counters, 0 to 63.",
        run=inc,
        lower=lambda e, index: e.count(index, 1),
        example="when is_udp (inc 0)",
        family="state",
        check=check_counter,
    ),
)
