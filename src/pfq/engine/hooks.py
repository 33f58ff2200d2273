"""Where on a device a program runs: the choice, and the ways to attach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pfq.codegen.spec import Hook
from pfq.errors import UsageError
from pfq.kernel import features
from pfq.kernel.attach import Attachment, TcxLink, XdpLink
from pfq.kernel.clsact import Clsact
from pfq.kernel.devices import Device, XdpMode
from pfq.kernel.programs import Program

HookChoice = Literal["auto", "xdp", "xdp-generic", "tcx", "clsact"]
Direction = Literal["in", "out", "inout"]
Binding = Literal["tap", "inline"]

HOOK_CHOICES: tuple[HookChoice, ...] = get_args(HookChoice)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
BINDINGS: tuple[Binding, ...] = get_args(Binding)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to attach: a hook, and how."""

    hook: Hook
    how: Literal["native", "generic", "tcx", "clsact"]

    @property
    def tcx(self) -> bool:
        """For tcx links; a program for them is loaded as such."""
        return self.how == "tcx"

    def attach(self, program: Program, ifindex: int, mark: str = "") -> Attachment:
        """mark: of clsact filters that outlive their process on purpose."""
        match self.how:
            case "native" | "generic":
                return XdpLink.attach(program, ifindex, XdpMode(self.how))
            case "tcx":
                return TcxLink.attach(program, ifindex)
            case "clsact":
                return Clsact.attach(program, ifindex, mark)

    def __str__(self) -> str:
        if self.hook is Hook.XDP:
            return f"XDP ({self.how})"
        return f"TC {'ingress' if self.hook is Hook.TC_INGRESS else 'egress'} ({self.how})"


XDP_NATIVE, XDP_GENERIC = Way(Hook.XDP, "native"), Way(Hook.XDP, "generic")


def traffic_control(hook: Hook) -> Way:
    """TC the newest way this kernel has."""
    return Way(hook, "tcx" if features.available("tcx") else "clsact")


def incoming_ways(device: Device, choice: HookChoice, binding: Binding, forwards: bool = False) -> tuple[Way, ...]:
    """Ways for incoming packets, best first; the next one is tried when the device cannot do one.

    forwards  the program sends copies on other devices, which XDP cannot do

    A mere tap on a device made of software goes to TC: native XDP there would break up the big
    segments Linux passes over it, and slow down everybody's traffic.
    """
    ingress = traffic_control(Hook.TC_INGRESS)
    if forwards and choice in ("xdp", "xdp-generic"):
        raise UsageError(
            f"the program forwards packets, which it cannot at the hook `{choice}`",
            hint="take the hook `auto`, `tcx` or `clsact`",
        )
    match choice:
        case "xdp":
            return (XDP_NATIVE,)
        case "xdp-generic":
            return (XDP_GENERIC,)
        case "tcx" | "clsact":
            return (Way(Hook.TC_INGRESS, choice),)
        case "auto" if forwards:
            return (ingress,)
        case "auto" if not ingress.tcx:
            # A clsact filter outlives a process that is killed; XDP programs do not.
            return (XDP_NATIVE, XDP_GENERIC, ingress)
        case "auto" if device.is_virtual and binding == "tap":
            return (ingress, XDP_NATIVE, XDP_GENERIC)
        case "auto":
            return (XDP_NATIVE, ingress, XDP_GENERIC)
    raise UsageError(f"there is no hook `{choice}`", hint="hooks are " + ", ".join(HOOK_CHOICES))


def outgoing_way(choice: HookChoice) -> Way:
    """The way for outgoing packets: XDP does not see them."""
    if choice in ("tcx", "clsact"):
        return Way(Hook.TC_EGRESS, "clsact" if choice == "clsact" else "tcx")
    if choice == "auto":
        return traffic_control(Hook.TC_EGRESS)
    raise UsageError(
        f"the hook `{choice}` sees incoming packets only",
        hint="capture outgoing packets with the hook `auto`, `tcx` or `clsact`",
    )
