"""May this process use eBPF? And giving up all other rights."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable, Iterable
from typing import Final

from pfq.errors import NoPrivilegeError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

NEEDED = ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
"""Without CAP_PERFMON the verifier lets no program compute with packet pointers, and ours all do."""

_libc = ctypes.CDLL(None, use_errno=True)

HINT = "run as root, or give the process " + ", ".join(NEEDED)


def effective_capabilities() -> frozenset[str]:
    """Those of `CAPABILITIES` that this thread has."""
    with open("/proc/thread-self/status") as status:
        line = next(line for line in status if line.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return frozenset(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)


def missing_privilege() -> str | None:
    """Why this process may not load eBPF programs and attach them, in a few words; None when it may.

    CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as in the kernel. Capabilities of a user namespace look the
    same as real ones here; there the kernel's own refusal is the answer.
    """
    has = effective_capabilities()
    if "CAP_SYS_ADMIN" in has:
        has |= {"CAP_BPF", "CAP_PERFMON"}
    missing = [name for name in NEEDED if name not in has]
    return f"this process lacks {', '.join(missing)}" if missing else None


def require_privilege() -> None:
    """Raises NoPrivilegeError when this process may not use eBPF."""
    if why := missing_privilege():
        raise NoPrivilegeError(f"eBPF is not allowed here: {why}", hint=HINT)


_SET_PDEATHSIG = 1
_SET_KEEPCAPS, _CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 8, 23, 24, 38
_AMBIENT, _AMBIENT_CLEAR, _SET_DUMPABLE = 47, 4, 4
_HEADER_VERSION: Final = 0x20080522
LAST_CAPABILITY: Final = 63


def keep_capabilities(names: Iterable[str], become: Callable[[], None] = lambda: None) -> None:
    """From now on this thread, and those that it starts, have at most these of `CAPABILITIES`, for ever.

    become  changes to another user on the way
    Raises NoPrivilegeError.
    """
    bits = {CAPABILITIES[name] for name in names}
    _control(_SET_NO_NEW_PRIVS, 1)
    _control(_SET_KEEPCAPS, 1)
    for bit in range(LAST_CAPABILITY + 1):
        # Whoever may not change the bounding set has nothing to lose by it: there is no way to gain rights any more.
        if bit not in bits and _libc.prctl(_CAPBSET_READ, bit, 0, 0, 0) == 1:
            _libc.prctl(_CAPBSET_DROP, bit, 0, 0, 0)
    become()
    _control(_AMBIENT, _AMBIENT_CLEAR)
    _set_capabilities(sum(1 << bit for bit in bits) & _permitted())
    _control(_SET_KEEPCAPS, 0)


def hide_memory() -> None:
    """No other process of the same user may look into this one, and it leaves no core behind."""
    _control(_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """This process ends when the one that forked it does; at once when that has another number than `parent`."""
    _control(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _permitted() -> int:
    with open("/proc/thread-self/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))


def _set_capabilities(mask: int) -> None:
    header = struct.pack("=Ii", _HEADER_VERSION, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    if _libc.capset(header, struct.pack("=6I", low, low, 0, high, high, 0)):
        raise NoPrivilegeError(f"cannot give up rights: {os.strerror(ctypes.get_errno())}")


def _control(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3):
        raise NoPrivilegeError(f"cannot give up rights: {os.strerror(ctypes.get_errno())}")
