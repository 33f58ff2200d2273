"""The older way to attach a TC program, a filter of the `clsact` queueing discipline, for kernels before 6.6.

A filter outlives its process. So its name says who made it, and the next one of ours to attach at
the same place removes it when that process is dead. One that is to outlive its process has a mark in
its name instead: whoever knows the mark adopts it or removes it. Only filters of ours are removed,
and the queueing discipline only when we made it and it is empty.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pfq.codegen.spec import Hook
from pfq.errors import AttachConflictError, DeviceGoneError, KernelRefusedError, PfqError
from pfq.kernel import devices, netlink
from pfq.kernel.abi import AttachType
from pfq.kernel.attach import AttachInfo, check_type, missing
from pfq.kernel.netlink import Netlink, attributes, number, text
from pfq.kernel.programs import Program
from pfq.kernel.sys import errno_of

_TCMSG = struct.Struct("=BBHiIII")
"""family, padding, device, handle, parent, priority << 16 | protocol"""
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS, _TCA_BPF_ID = 6, 7, 8, 11
_TCA_BPF_FLAG_ACT_DIRECT = 1

_CLSACT: Final = 0xFFFFFFF1
_CLSACT_HANDLE: Final = 0xFFFF0000
_SIDES: Final = {Hook.TC_INGRESS: 0xFFFFFFF2, Hook.TC_EGRESS: 0xFFFFFFF3}
_PRIORITY: Final = 1
_OWNER: Final = re.compile(r"pfq:(\d+):(\d+):(\d+):([01])")
_KEPT: Final = re.compile(r"pfq-kept:(\w+):([01])")
_INFO: Final = _PRIORITY << 16 | 0x0300  # ETH_P_ALL in network order


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that made a filter, and whether it made the queueing discipline too."""

    pid: int
    started: int
    pid_namespace: int
    made_qdisc: bool

    @classmethod
    def myself(cls, made_qdisc: bool) -> Owner:
        return cls(os.getpid(), _started(os.getpid()) or 0, _pid_namespace(), made_qdisc)

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """From the name of a filter; None when it is not one of ours."""
        found = _OWNER.fullmatch(name)
        return cls(int(found[1]), int(found[2]), int(found[3]), found[4] == "1") if found else None

    def __str__(self) -> str:
        return f"pfq:{self.pid}:{self.started}:{self.pid_namespace}:{self.made_qdisc:d}"

    def is_dead(self) -> bool:
        """For certain. Processes of another PID namespace cannot be seen from here and count as alive."""
        return self.pid_namespace == _pid_namespace() and _started(self.pid) != self.started


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; tells it from a later one with the same number."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a filter that is to outlive its process: somebody's mark."""

    mark: str
    made_qdisc: bool

    @classmethod
    def parse(cls, name: str) -> Kept | None:
        """From the name of a filter; None when it is not such a one."""
        found = _KEPT.fullmatch(name)
        return cls(found[1], found[2] == "1") if found else None

    def __str__(self) -> str:
        return f"pfq-kept:{self.mark}:{self.made_qdisc:d}"


@dataclass(frozen=True, slots=True)
class _Filter:
    """A filter of a device, on one side. `name` and `program_id` are BPF filters'."""

    kind: str
    info: int
    handle: int
    name: str
    program_id: int


class Clsact:
    """A TC program on a device as a direct-action filter of highest priority."""

    def __init__(self, link: Netlink, ifindex: int, hook: Hook, program_id: int, name: str, handle: int) -> None:
        self._link = link
        self._hook = hook
        self._side = _SIDES[hook]
        self._program_id = program_id
        self.name = name
        self.handle = handle
        self.ifindex = ifindex

    @classmethod
    def adopt(cls, ifindex: int, hook: Hook, name: str, handle: int) -> Clsact | None:
        """A filter of another process that has ended; None when it is not there any more."""
        link = Netlink()
        try:
            for found in _filters(link, ifindex, _SIDES[hook]):
                if (found.handle, found.name, found.info) == (handle, name, _INFO):
                    return cls(link, ifindex, hook, found.program_id, name, handle)
        except BaseException:
            link.close()
            raise
        link.close()
        return None

    @classmethod
    def attach(cls, program: Program, ifindex: int, mark: str = "") -> Clsact:
        """Attaches to the device with that number in the current network namespace.

        program  loaded with `tcx=False`, on the side its hook says
        mark     the filter is to outlive this process, and is known by this: letters and digits
        Raises DeviceMissingError; AttachConflictError when the place is taken by another kind of filter.
        """
        _check(program, program.hook)
        link = Netlink()
        try:
            return cls._attach(link, program, ifindex, mark)
        except BaseException:
            link.close()
            raise

    @classmethod
    def _attach(cls, link: Netlink, program: Program, ifindex: int, mark: str) -> Clsact:
        side = _SIDES[program.hook]
        made_qdisc = _make_qdisc(link, ifindex, program.hook)
        made_qdisc |= _remove_dead(link, ifindex, side)
        name = str(Kept(mark, made_qdisc) if mark else Owner.myself(made_qdisc))
        what = f"attaching a TC filter to device {ifindex}"
        try:
            _put(link, ifindex, side, 0, name, program, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, what)
        except KernelRefusedError as error:
            if made_qdisc:
                _remove_empty_qdisc(link, ifindex)
            raise _explain(error, link, ifindex, side) from error
        handle = next(
            found.handle
            for found in _filters(link, ifindex, side)
            if found.name == name and found.program_id == program.id
        )
        return cls(link, ifindex, program.hook, program.id, name, handle)

    def swap(self, program: Program) -> None:
        """See `Attachment.swap`."""
        what = f"replacing the TC filter on device {self.ifindex}"
        _check(program, self._hook)
        if self._find() is None:
            raise DeviceGoneError(f"{what} failed: the device or the filter is gone")
        _put(self._link, self.ifindex, self._side, self.handle, self.name, program, 0, what)
        self._program_id = program.id

    def detach(self) -> None:
        """See `Attachment.detach`."""
        if self._link.socket.fileno() < 0:
            return
        with self._link:
            if self._find() is None:
                return
            _delete(self._link, self.ifindex, self._side, self.handle)
            owner = Owner.parse(self.name) or Kept.parse(self.name)
            if owner is not None and owner.made_qdisc:
                _remove_empty_qdisc(self._link, self.ifindex)

    def close(self) -> None:
        """See `Attachment.close`."""
        self._link.close()

    def info(self) -> AttachInfo:
        """See `Attachment.info`."""
        found = self._find() if self._link.socket.fileno() >= 0 else None
        return AttachInfo(True, self.ifindex, found.program_id) if found else AttachInfo(False, 0, 0)

    def _find(self) -> _Filter | None:
        # The program's number tells it from one of this process on a later device with the same number.
        mine = (self.handle, self.name, _INFO, self._program_id)
        for found in _filters(self._link, self.ifindex, self._side):
            if (found.handle, found.name, found.info, found.program_id) == mine:
                return found
        return None


def _check(program: Program, hook: Hook) -> None:
    """The kernel takes any TC program for either side."""
    check_type(program, AttachType.NONE)
    if program.hook is not hook:
        raise KernelRefusedError(f"the program `{program.name}` is made for {program.hook.value}, not {hook.value}")


def _make_qdisc(link: Netlink, ifindex: int, hook: Hook) -> bool:
    """Sees to a clsact discipline; whether it was made here."""
    body = _TCMSG.pack(0, 0, 0, ifindex, _CLSACT_HANDLE, _CLSACT, 0) + netlink.attr(_TCA_KIND, b"clsact\0")
    try:
        flags = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
        link.request(netlink.RTM_NEWQDISC, flags, body, f"adding clsact to device {ifindex}")
    except KernelRefusedError as error:
        if errno_of(error) == errno.ENODEV:
            raise missing(ifindex) from error
        if errno_of(error) != errno.EEXIST:
            raise
        # An old `ingress` discipline takes filters for both sides and runs them all on ingress.
        if hook is Hook.TC_EGRESS and _qdisc(link, ifindex) != "clsact":
            raise AttachConflictError(
                f"device {ifindex} has an `{_qdisc(link, ifindex)}` queueing discipline, which has no egress side",
                hint="replace it by `clsact`",
            ) from error
        return False
    return True


def _qdisc(link: Netlink, ifindex: int) -> str:
    body = _TCMSG.pack(0, 0, 0, ifindex, 0, 0, 0)
    for message in link.dump(netlink.RTM_GETQDISC, body, "listing queueing disciplines"):
        _, _, _, index, _, parent, _ = _TCMSG.unpack_from(message.body)
        if (index, parent) == (ifindex, _CLSACT):
            return text(attributes(message.body[_TCMSG.size :]).get(_TCA_KIND))
    return ""


def _filters(link: Netlink, ifindex: int, side: int) -> list[_Filter]:
    """All filters on one side of a device; empty when the device is gone."""
    body = _TCMSG.pack(0, 0, 0, ifindex, 0, side, 0)
    found = []
    for message in link.dump(netlink.RTM_GETTFILTER, body, "listing TC filters"):
        _, _, _, _, handle, _, info = _TCMSG.unpack_from(message.body)
        attrs = attributes(message.body[_TCMSG.size :])
        options = attributes(attrs.get(_TCA_OPTIONS, b""))
        kind = text(attrs.get(_TCA_KIND))
        if handle:  # the others are heads of lists
            is_bpf = kind == "bpf"
            name = text(options.get(_TCA_BPF_NAME)) if is_bpf else ""
            found.append(_Filter(kind, info, handle, name, number(options.get(_TCA_BPF_ID)) if is_bpf else 0))
    return found


def _put(
    link: Netlink, ifindex: int, side: int, handle: int, name: str, program: Program, flags: int, what: str
) -> None:
    options = netlink.nested(
        _TCA_OPTIONS,
        netlink.attr(_TCA_BPF_FD, struct.pack("=I", program.fd)),
        netlink.attr(_TCA_BPF_NAME, name.encode() + b"\0"),
        netlink.attr(_TCA_BPF_FLAGS, struct.pack("=I", _TCA_BPF_FLAG_ACT_DIRECT)),
    )
    body = _TCMSG.pack(0, 0, 0, ifindex, handle, side, _INFO) + netlink.attr(_TCA_KIND, b"bpf\0") + options
    link.request(netlink.RTM_NEWTFILTER, flags, body, what)


def _delete(link: Netlink, ifindex: int, side: int, handle: int) -> None:
    body = _TCMSG.pack(0, 0, 0, ifindex, handle, side, _INFO) + netlink.attr(_TCA_KIND, b"bpf\0")
    link.request(netlink.RTM_DELTFILTER, 0, body, f"removing the TC filter of device {ifindex}")


def _remove_dead(link: Netlink, ifindex: int, side: int) -> bool:
    """Removes filters that dead processes of ours left; whether one of those had made the discipline."""
    made_qdisc = False
    for found in _filters(link, ifindex, side):
        owner = Owner.parse(found.name)
        if owner is not None and owner.is_dead() and found.info == _INFO:
            _delete(link, ifindex, side, found.handle)
            made_qdisc |= owner.made_qdisc
    return made_qdisc


def _remove_empty_qdisc(link: Netlink, ifindex: int) -> None:
    if not any(_filters(link, ifindex, side) for side in _SIDES.values()):
        body = _TCMSG.pack(0, 0, 0, ifindex, _CLSACT_HANDLE, _CLSACT, 0)
        link.request(netlink.RTM_DELQDISC, 0, body, f"removing clsact from device {ifindex}")


def remove_kept(mark: str, known: Container[tuple[int, Hook, str, int]] = ()) -> None:
    """Removes filters with a mark from all devices of the network namespace.

    known  those that stay: device, hook, name and handle
    """
    with Netlink() as link:
        for device in list(devices.dump(link)):
            for hook, side in _SIDES.items():
                for found in _filters(link, device.index, side):
                    kept = Kept.parse(found.name)
                    if kept is None or kept.mark != mark or (device.index, hook, found.name, found.handle) in known:
                        continue
                    _delete(link, device.index, side, found.handle)
                    if kept.made_qdisc:
                        _remove_empty_qdisc(link, device.index)


def _explain(error: KernelRefusedError, link: Netlink, ifindex: int, side: int) -> PfqError:
    there = next((found for found in _filters(link, ifindex, side) if found.info >> 16 == _PRIORITY), None)
    if errno_of(error) != errno.EINVAL or there is None:
        return error
    return AttachConflictError(
        f"device {ifindex} has a TC filter of kind `{there.kind}` and priority {_PRIORITY}, the place that PFQ needs",
        hint="give that filter a higher number (`tc filter ... pref 10`)",
    )
