"""Attaches programs to devices. Every way has the same interface, `Attachment`.

XDP and tcx programs hang on a link of the kernel, which is a descriptor: when the process ends, by
whatever cause, they are gone, unless the link is pinned (`pfq.kernel.pins`). The older way for TC is
in `pfq.kernel.clsact`.

A program of somebody else is never touched.
"""

from __future__ import annotations

import errno
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pfq.codegen.spec import Hook
from pfq.errors import AttachConflictError, DeviceGoneError, DeviceMissingError, KernelRefusedError, PfqError
from pfq.kernel import abi, devices, features, netlink, sys
from pfq.kernel.abi import AttachType
from pfq.kernel.devices import XdpMode
from pfq.kernel.netlink import Netlink
from pfq.kernel.programs import Program

_XDP_FLAGS = {XdpMode.GENERIC: 1 << 1, XdpMode.NATIVE: 1 << 2}
_XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0
_IFLA_XDP, _IFLA_XDP_FD, _IFLA_XDP_FLAGS, _IFLA_XDP_EXPECTED_FD = 43, 1, 3, 8
_XDP_FLAGS_REPLACE = 1 << 4


@dataclass(frozen=True, slots=True)
class AttachInfo:
    """State of an attachment. alive is False when the device is gone, or somebody removed our filter."""

    alive: bool
    ifindex: int
    program_id: int


class Attachment(Protocol):
    """A program attached to a device."""

    def swap(self, program: Program) -> None:
        """Puts another program in its place atomically: every packet meets one of the two.

        A refused program leaves the old one running. Raises DeviceGoneError when the device is gone.
        """

    def detach(self) -> None:
        """Takes the program off the device; again is harmless, and so is a device that is gone."""

    def close(self) -> None:
        """Gives the descriptor back. A link that is pinned stays, and so does a filter."""

    def info(self) -> AttachInfo:
        """Whether it still works."""


class Link:
    """What links of XDP and tcx have in common."""

    def __init__(self, fd: sys.Fd, ifindex: int, attach_type: AttachType) -> None:
        self._fd = fd
        self._attach_type = attach_type
        self.ifindex = ifindex

    def swap(self, program: Program) -> None:
        """See `Attachment.swap`."""
        check_type(program, self._attach_type)
        try:
            sys.link_update(self._fd.fileno(), program.fd, f"replacing the program on device {self.ifindex}")
        except KernelRefusedError as error:
            if sys.errno_of(error) == errno.ENOLINK:
                raise DeviceGoneError(f"device {self.ifindex} is gone, and the program on it with it") from error
            raise

    def detach(self) -> None:
        """See `Attachment.detach`."""
        if not self._fd.closed:
            # Not only closed: a monitoring tool may have the link open at this moment.
            sys.link_detach(self._fd.fileno())
            self._fd.close()

    def close(self) -> None:
        """See `Attachment.close`."""
        self._fd.close()

    @property
    def fd(self) -> int:
        """The descriptor's number; raises ValueError once closed."""
        return self._fd.fileno()

    @property
    def id(self) -> int:
        """The number the kernel lists the link under."""
        return int(sys.info(self.fd, abi.LinkInfo).id)

    def info(self) -> AttachInfo:
        """See `Attachment.info`."""
        if self._fd.closed:
            return AttachInfo(False, 0, 0)
        link = sys.info(self._fd.fileno(), abi.LinkInfo)
        return AttachInfo(link.ifindex != 0, link.ifindex, link.prog_id)


class XdpLink(Link):
    """An XDP program on a device, in the driver (native) or in the stack (generic)."""

    def __init__(self, fd: sys.Fd, ifindex: int, mode: XdpMode) -> None:
        super().__init__(fd, ifindex, AttachType.XDP)
        self.mode = mode

    @classmethod
    def attach(cls, program: Program, ifindex: int, mode: XdpMode = XdpMode.NATIVE) -> XdpLink:
        """Attaches to the device with that number in the current network namespace.

        Raises AttachConflictError when there is another program, DeviceMissingError, and
        KernelRefusedError with the reason when the driver cannot do it.
        """
        check_type(program, AttachType.XDP)
        what = f"attaching an XDP program to device {ifindex} ({mode.value})"
        try:
            fd = sys.link_create(program.fd, ifindex, AttachType.XDP, _XDP_FLAGS[mode], what)
        except KernelRefusedError as error:
            raise _explain_xdp(error, program, ifindex, mode) from error.__cause__
        return cls(fd, ifindex, mode)


TCX = {Hook.TC_INGRESS: AttachType.TCX_INGRESS, Hook.TC_EGRESS: AttachType.TCX_EGRESS}


class TcxLink(Link):
    """A TC program on a device, on the side its hook says, before all that are there already."""

    @classmethod
    def attach(cls, program: Program, ifindex: int) -> TcxLink:
        """Attaches to the device with that number in the current network namespace.

        There is no conflict: programs run one after another, ours first. Raises DeviceMissingError,
        and KernelTooOldError before Linux 6.6.
        """
        features.require("tcx")
        attach_type = TCX[program.hook]
        check_type(program, attach_type)
        what = f"attaching a TC program to device {ifindex} ({program.hook.value})"
        try:
            fd = sys.link_create(program.fd, ifindex, attach_type, abi.F_BEFORE, what)
        except KernelRefusedError as error:
            if sys.errno_of(error) == errno.ENODEV:
                raise missing(ifindex) from error
            raise
        return cls(fd, ifindex, attach_type)


def missing(ifindex: int) -> DeviceMissingError:
    """The error for a number that no device has."""
    there = ", ".join(f"{device.index} {device.name}" for device in devices.devices())
    return DeviceMissingError(
        f"no device has the number {ifindex} in this network namespace", hint=f"there are: {there}"
    )


def _refused(message: str, error: PfqError, hint: str | None = None) -> KernelRefusedError:
    """Another wording of `error`, with the same errno behind it."""
    new = KernelRefusedError(message, hint=hint)
    new.__cause__ = error.__cause__
    return new


def check_type(program: Program, needed: AttachType) -> None:
    """Refuses a program that was loaded for another hook.

    The kernel's own answer depends on its version and the hook: Linux 6.18 says a bare EINVAL for
    XDP and takes an egress program for a tcx ingress link.
    """
    if program.attach_type is not needed:
        raise KernelRefusedError(
            f"the program `{program.name}` was loaded for another attach type "
            f"({program.attach_type.name}) than is needed here ({needed.name})",
            hint="load it for the hook that it is to run on; what runs there goes on running",
        )


def _explain_xdp(error: KernelRefusedError, program: Program, ifindex: int, mode: XdpMode) -> PfqError:
    number = sys.errno_of(error)
    device = devices.device_by_index(ifindex)
    if number == errno.ENODEV or device is None:
        return missing(ifindex)
    if number in (errno.EBUSY, errno.EEXIST) and device.xdp is not None:
        return AttachConflictError(
            f"`{device.name}` already has an XDP program: {describe(device.xdp.id)}, {device.xdp.mode.value}",
            hint="stop what loaded it, or capture on the TC hook, which several programs can share",
        )
    said = _driver_says(program, ifindex, mode)
    reason = f"`{device.name}` refused the XDP program ({mode.value}): {said or error.message}"
    if number == errno.ERANGE and not program.frags:
        return _refused(
            f"{reason}; its MTU, or its peer's, is over {largest_mtu()} bytes, "
            "the most for a program that takes frames in one buffer",
            error,
            f"set the MTU to {largest_mtu()} or less, load the program for frames in several buffers (frags), "
            "or attach it in generic mode",
        )
    return _refused(reason, error, "attach it in generic mode, or on the TC hook")


_XDP_HEADROOM, _SKB_SHARED_INFO, _ETHERNET_HEADER = 256, 320, 14


def largest_mtu() -> int:
    """The largest MTU at which a frame fits one page beside what XDP needs there: 3506 with pages of 4 KiB.

    This is veth's limit; the limits of network cards are near it.
    """
    return mmap.PAGESIZE - _XDP_HEADROOM - _SKB_SHARED_INFO - _ETHERNET_HEADER


def _driver_says(program: Program, ifindex: int, mode: XdpMode) -> str:
    """The driver's own words for its refusal.

    Links do not hand them on, so the same is tried through netlink, where it fails in the same way.
    Should it succeed, because the reason has just gone, it is undone.
    """
    with Netlink() as link:
        try:
            _set_xdp(link, ifindex, program.fd, _XDP_FLAGS[mode] | _XDP_FLAGS_UPDATE_IF_NOEXIST, None)
        except PfqError as error:
            return error.message.partition("the kernel says: ")[2]
        _set_xdp(link, ifindex, -1, _XDP_FLAGS[mode] | _XDP_FLAGS_REPLACE, program.fd)
        return ""


def _set_xdp(link: Netlink, ifindex: int, fd: int, flags: int, expected: int | None) -> None:
    xdp = [
        netlink.attr(_IFLA_XDP_FD, struct.pack("=i", fd)),
        netlink.attr(_IFLA_XDP_FLAGS, struct.pack("=I", flags)),
    ]
    if expected is not None:
        xdp.append(netlink.attr(_IFLA_XDP_EXPECTED_FD, struct.pack("=i", expected)))
    body = struct.pack("=BxHiII", 0, 0, ifindex, 0, 0) + netlink.nested(_IFLA_XDP, *xdp)
    link.request(netlink.RTM_SETLINK, 0, body, "attaching through netlink")


def describe(program_id: int) -> str:
    """A loaded program in words: its name, number, and who has it open."""
    if program_id == 0:
        return "several programs"
    try:
        with sys.fd_by_id(sys.Kind.PROGRAM, program_id) as fd:
            name = sys.info(fd.fileno(), abi.ProgramInfo).name.decode(errors="replace")
    except PfqError:
        return f"id {program_id}"
    holders = ", ".join(_holders(program_id))
    return f"`{name}`, id {program_id}" + (f", loaded by {holders}" if holders else "")


def _holders(program_id: int) -> list[str]:
    """Processes that have the program, or a link of it, open."""
    wanted = re.compile(rf"^prog_id:\s*{program_id}$", re.MULTILINE)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(wanted.search(path.read_text()) for path in (process / "fdinfo").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
        except OSError:  # it has ended, or is not ours to look at
            continue
    return found
