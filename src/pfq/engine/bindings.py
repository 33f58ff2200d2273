"""What a group is: its program, its filters, its bindings; and what follows of those of all groups for a device."""

from __future__ import annotations

import platform
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import Group as GroupSpec
from pfq.codegen.finish import Clock
from pfq.codegen.memory import EGRESS, RingShape
from pfq.engine.hooks import (
    BINDINGS,
    DIRECTIONS,
    HOOK_CHOICES,
    Binding,
    Direction,
    HookChoice,
    Way,
    incoming_ways,
    outgoing_way,
)
from pfq.errors import UsageError
from pfq.kernel.devices import ARPHRD_ETHER, ARPHRD_LOOPBACK, Device, device
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.program import Program

ETHERNET_LINKS: Final = (ARPHRD_ETHER, ARPHRD_LOOPBACK)
ONE_BUFFER_MTU: Final = 1500
"""Up to this MTU every driver has a frame in one buffer."""
STORES_IN_ORDER: Final = ("x86_64", "i686")
MAX_QUEUE: Final = 0xFFFF

SideName = Literal["in", "out"]
Key = tuple[int, SideName]
"""A side of a device: its number, and the direction of the packets."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A group is bound to a device.

    queue        of the incoming packets; None: any
    direction    `in`, `out` or `inout`
    binding      `tap` or `inline`
    hook         where the program is to run
    promiscuous  frames for other addresses are taken too
    """

    device: Device
    queue: int | None = None
    direction: Direction = "in"
    binding: Binding = "tap"
    hook: HookChoice = "auto"
    promiscuous: bool = False

    def __post_init__(self) -> None:
        known: tuple[tuple[str, str, Iterable[str]], ...] = (
            ("binding", self.binding, BINDINGS),
            ("direction", self.direction, DIRECTIONS),
            ("hook", self.hook, HOOK_CHOICES),
        )
        for what, value, choices in known:
            if value not in choices:
                raise UsageError(f"there is no {what} `{value}`", hint="there are: " + ", ".join(choices))
        if self.queue is None:
            return
        if not isinstance(self.queue, int) or not 0 <= self.queue <= MAX_QUEUE:
            raise UsageError(f"a receive queue is 0 to {MAX_QUEUE}, not {self.queue!r}")
        if self.direction != "in":
            raise UsageError("outgoing packets have no receive queue", hint="bind to all queues, or to incoming ones")

    def sides(self) -> list[Key]:
        return [(self.device.index, side) for side in self.side_names()]

    def side_names(self) -> tuple[SideName, ...]:
        both: tuple[SideName, ...] = ("in", "out")
        return tuple(side for side in both if self.direction in (side, "inout"))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a group does, and to which packets."""

    program: Program
    filter: BerkeleyFilter | None = None
    vlans: frozenset[int] | None = None
    bindings: tuple[Bound, ...] = field(default=())

    def sides(self) -> set[Key]:
        return {key for bound in self.bindings for key in bound.sides()}

    def of(self, key: Key) -> list[Bound]:
        return [bound for bound in self.bindings if key in bound.sides()]


@dataclass(frozen=True, slots=True)
class SidePlan:
    """The groups of one side of a device.

    egress  some of them have egress end-points
    """

    key: Key
    device: Device
    groups: tuple[GroupSpec, ...]
    hook: HookChoice
    binding: Binding
    egress: bool = False

    def ways(self, forwards: bool) -> tuple[Way, ...]:
        """Ways to attach, best first."""
        if self.key[1] == "out":
            return (outgoing_way(self.hook),)
        if self.egress and self.hook in ("xdp", "xdp-generic"):
            raise UsageError(
                f"a group on `{self.device.name}` has an egress end-point, which cannot send at the hook `{self.hook}`",
                hint="bind the group with the hook `auto`, `tcx` or `clsact`",
            )
        return incoming_ways(self.device, self.hook, self.binding, forwards or self.egress)

    def way(self, now: Way | None) -> Way:
        """The way for which to compile: that by which a program runs now, unless it must move."""
        ways = self.ways(forwards=False)
        return now if now is not None and (now in ways or not self.egress) else ways[0]

    def spec(self, way: Way, cpus: int, shapes: tuple[RingShape, ...], clocks: tuple[Clock, ...]) -> DeviceSpec:
        """What to compile."""
        return DeviceSpec(
            hook=way.hook,
            groups=self.groups,
            cpus=cpus,
            rings=(*shapes, EGRESS) if self.egress else shapes,
            clock=clocks,
            ordered=platform.machine() in STORES_IN_ORDER,
            linear=self.device.mtu <= ONE_BUFFER_MTU,
        )


def side_plan(key: Key, groups: Mapping[int, Settings], egress: Container[int] = ()) -> SidePlan | None:
    """What is to run on a side of a device, when any group is bound there.

    egress  numbers of the groups that have egress end-points
    """
    specs: list[GroupSpec] = []
    bounds: list[Bound] = []
    for number, settings in sorted(groups.items()):
        if mine := settings.of(key):
            specs.append(_group(number, settings, mine))
            bounds += mine
    if not bounds:
        return None
    hooks = sorted({bound.hook for bound in bounds} - {"auto"})
    if len(hooks) > 1:
        raise UsageError(
            f"groups want `{bounds[0].device.name}` at the hooks {' and '.join(hooks)}, but all run in one program",
            hint="bind them with the same hook, or with `auto`",
        )
    inline = any(bound.binding == "inline" for bound in bounds)
    return SidePlan(
        key,
        bounds[0].device,
        tuple(specs),
        hooks[0] if hooks else "auto",
        "inline" if inline else "tap",
        any(spec.number in egress for spec in specs),
    )


def _group(number: int, settings: Settings, bounds: list[Bound]) -> GroupSpec:
    if len({bound.binding for bound in bounds}) > 1:
        raise UsageError(f"group {number} is bound to `{bounds[0].device.name}` both as tap and inline")
    queues = {bound.queue for bound in bounds}
    return GroupSpec(
        number,
        settings.program,
        settings.filter,
        settings.vlans,
        None if None in queues else tuple(sorted(queue for queue in queues if queue is not None)),
        bounds[0].binding == "inline",
    )


def ethernet_device(name: str) -> Device:
    """The device with a name, when it carries Ethernet frames."""
    if not isinstance(name, str):
        raise UsageError(f"a device is given by its name, not as {name!r}")
    found = device(name)
    if found.link_type not in ETHERNET_LINKS:
        raise UsageError(
            f"`{name}` does not carry Ethernet frames (link type {found.link_type})",
            hint="PFQ captures from Ethernet devices; capture where these packets enter or leave the tunnel",
        )
    return found
