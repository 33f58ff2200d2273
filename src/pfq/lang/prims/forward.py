"""Where a packet goes apart from steering: nowhere, to all, to a class, to Linux, to other devices."""

from __future__ import annotations

from typing import Any, Final

from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, MAX_FORWARDS, Fanout
from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Emitter
from pfq.lang.prims.table import Prim
from pfq.lang.program import Call, Program

PREDICATE: Final = "(Packet -> Bool)"
DEVICE_NAME_BYTES: Final = 15


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


def detour(m: Machine) -> bool:
    m.action.kernel = True
    return False


def lower_detour(e: Emitter) -> None:
    e.to_kernel()
    e.drop()


def forward(m: Machine, device: str) -> bool:
    m.forward(device)
    return True


def bridge(m: Machine, device: str) -> bool:
    m.forward(device)
    return False


def lower_bridge(e: Emitter, device: str) -> None:
    e.forward(device)
    e.drop()


def tee(m: Machine, device: str, predicate: Call) -> bool:
    m.forward(device)
    return m.test(predicate)


def lower_tee(e: Emitter, device: str, predicate: Call) -> None:
    e.forward(device)
    e.branch(e.test(predicate), lambda: None, e.drop)


def link(m: Machine, devices: tuple[str, ...]) -> bool:
    for device in devices:
        if device != m.world.device:
            m.forward(device)
    return True


def lower_link(e: Emitter, devices: tuple[str, ...]) -> None:
    for device in devices:
        e.forward_elsewhere(device)


def check_device(name: str, *_: Any) -> str | None:
    """What keeps Linux from giving a device this name."""
    if not name or len(name.encode(errors="replace")) > DEVICE_NAME_BYTES:
        return f"the name of a device has 1 to {DEVICE_NAME_BYTES} bytes"
    if name in (".", "..") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        return "the name of a device has no `/`, no `:` and no space, and is not `.` or `..`"
    return None


def check_devices(names: tuple[str, ...]) -> str | None:
    if not names:
        return "the list of devices is empty"
    if len(names) > MAX_FORWARDS:
        return f"a packet is forwarded at most {MAX_FORWARDS} times, but the list has {len(names)} devices"
    return next(filter(None, map(check_device, names)), None)


def devices_of(program: Program) -> frozenset[str]:
    """The names of the devices that a program sends packets on."""
    found: set[str] = set()
    for call in program.calls():
        if call.prim.check in (check_device, check_devices):
            (names, *_) = call.args
            found |= {names} if isinstance(names, str) else set(names)  # type: ignore[arg-type]  # the check has seen it
    return frozenset(found)


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
    Prim(
        name="detour",
        type="Packet -> Action Packet",
        doc="Hands the packet to the Linux stack and drops it.",
        run=detour,
        lower=lower_detour,
        example="when is_icmp detour",
        family="forward",
    ),
    Prim(
        name="kernel_if",
        type=f"{PREDICATE} -> Packet -> Action Packet",
        doc="Hands the packet to the Linux stack as well when the predicate holds.",
        run=lambda m, p: kernel(m) if m.test(p) else True,
        lower=lambda e, p: e.branch(e.test(p), e.to_kernel, lambda: None),
        example="kernel_if is_icmp >-> steer_flow",
        family="forward",
    ),
    Prim(
        name="detour_if",
        type=f"{PREDICATE} -> Packet -> Action Packet",
        doc="Hands the packet to the Linux stack and drops it when the predicate holds.",
        run=lambda m, p: detour(m) if m.test(p) else True,
        lower=lambda e, p: e.branch(e.test(p), lambda: lower_detour(e), lambda: None),
        example="detour_if (has_port 22) >-> steer_flow",
        family="forward",
    ),
    Prim(
        name="forward",
        type="String -> Packet -> Action Packet",
        doc="Sends the packet on a device, as often as it is said, and goes on with it.",
        run=forward,
        lower=lambda e, device: e.forward(device),
        example='forward "eth1" >-> steer_flow',
        family="forward",
        check=check_device,
        aliases=("forwardIO",),
    ),
    Prim(
        name="bridge",
        type="String -> Packet -> Action Packet",
        doc="Sends the packet on a device and drops it.",
        run=bridge,
        lower=lower_bridge,
        example='bridge "eth1"',
        family="forward",
        check=check_device,
    ),
    Prim(
        name="tee",
        type=f"String -> {PREDICATE} -> Packet -> Action Packet",
        doc="Sends every packet on a device and passes those for which the predicate holds.",
        run=tee,
        lower=lower_tee,
        example='tee "eth1" is_tcp >-> steer_flow',
        family="forward",
        check=check_device,
    ),
    Prim(
        name="tap",
        type=f"String -> {PREDICATE} -> Packet -> Action Packet",
        doc="Passes the packet when the predicate holds; otherwise sends it on a device and drops it.",
        run=lambda m, device, p: m.test(p) or bridge(m, device),
        lower=lambda e, device, p: e.branch(e.test(p), lambda: None, lambda: lower_bridge(e, device)),
        example='tap "eth1" is_tcp >-> steer_flow',
        family="forward",
        check=check_device,
    ),
    Prim(
        name="link",
        type="[String] -> Packet -> Action Packet",
        doc="Sends the packet on every device of the list but the one it came from, and goes on with it.",
        run=link,
        lower=lower_link,
        example='link ["eth1", "eth2", "eth3"]',
        family="forward",
        check=check_devices,
    ),
)
