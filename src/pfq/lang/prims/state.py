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


def count(m: Machine, index: int, step: int) -> bool:
    added = (m.action.counters.pop(index, 0) + step) % (1 << 64)
    if added:
        m.action.counters[index] = added
    return True


def check_counter(index: int) -> str | None:
    return None if 0 <= index < COUNTERS else f"there is no counter {index}: counters are 0 to {COUNTERS - 1}"


def counting(name: str, step: int, change: str) -> Prim:
    """The row of `inc` or `dec`."""
    return Prim(
        name=name,
        type="CInt -> Packet -> Action Packet",
        doc=f"{change} one of the group's counters, 0 to {COUNTERS - 1}, which have 64 bits and wrap around.",
        run=lambda m, index: count(m, index, step),
        lower=lambda e, index: e.count(index, step),
        example=f"when is_udp ({name} 0)",
        family="state",
        check=check_counter,
    )


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
    counting("inc", 1, "Adds one to"),
    counting("dec", -1, "Takes one from"),
)
