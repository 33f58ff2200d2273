"""Waiting until programs that were detached have ended on all CPUs."""

from __future__ import annotations

import ctypes
import errno
import os
import platform

from pfq.errors import InternalError
from pfq.kernel.sys import refusal

_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283}
_MEMBARRIER_CMD_GLOBAL = 1


def wait_for_running_programs() -> None:
    """Returns when every run of a program that had begun before is over, so that its counts are final.

    Programs run inside RCU read-side sections, and membarrier(2) waits for all of those.
    """
    number = _MEMBARRIER.get(platform.machine())
    if number is None:
        raise InternalError(f"the number of membarrier(2) on {platform.machine()} is not known")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _MEMBARRIER_CMD_GLOBAL, 0, 0) != 0:
        failed = ctypes.get_errno() or errno.EINVAL
        raise refusal(f"waiting for running programs ({os.strerror(failed)})", failed)
