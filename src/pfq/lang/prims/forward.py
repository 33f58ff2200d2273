"""Where a packet goes apart from steering: nowhere, to all, to a class, to Linux."""

from __future__ import annotations

from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, Fanout
from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Emitter
from pfq.lang.prims.table import Prim


def broadcast(m: Machine) -> bool:
    m.action.fanout, m.action.classes = Fanout.COPY, ANY_CLASSES
    return True


def lower_broadcast(e: Emitter) -> None:
    e.fanout(Fanout.COPY)
    e.classes(ANY_CLASSES)


def classify(m: Machine, number: int) -> bool:
    if number:
        m.action.classes = 1 << number
    return True


def lower_classify(e: Emitter, number: int) -> None:
    if number:
        e.classes(1 << number)


def check_class(number: int) -> str | None:
    return None if 0 <= number <= CONTROL_CLASS else f"there is no class {number}: classes are 0 to {CONTROL_CLASS}"


def kernel(m: Machine) -> bool:
    m.action.kernel = True
    return True


ROWS: tuple[Prim, ...] = (
    Prim(
        name="drop",
        type="Packet -> Action Packet",
        doc="Drops the packet: no end-point of the group gets it and the rest of the program is skipped.",
        run=lambda m: False,
        lower=lambda e: e.drop(),
        example="when is_udp drop",
        family="forward",
    ),
    Prim(
        name="broadcast",
        type="Packet -> Action Packet",
        doc="Selects all end-points of all classes but the control class.",
        run=broadcast,
        lower=lower_broadcast,
        example="when is_icmp broadcast",
        family="forward",
    ),
    Prim(
        name="classify",
        type="CInt -> Packet -> Action Packet",
        doc="Makes the end-points of one class (1 to 63) the eligible ones; class 0 changes nothing.",
        run=classify,
        lower=lower_classify,
        example="when (has_port 5060) (classify 2)",
        family="forward",
        check=check_class,
    ),
    Prim(
        name="kernel",
        type="Packet -> Action Packet",
        doc="Hands the packet to the Linux stack as well (with the binding `tap` it gets every packet anyway).",
        run=kernel,
        lower=lambda e: e.to_kernel(),
        example="steer_flow >-> kernel",
        family="forward",
    ),
)
