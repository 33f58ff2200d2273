"""Which files this process may still use: Landlock (Linux 5.13), which nothing can take back.

It concerns the thread that asks and those that it starts afterwards.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pfq.kernel.sys import refusal

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_BENEATH = 1

EXECUTE: Final = 1 << 0
READ: Final = 1 << 2 | 1 << 3
"""Files, and lists of directories."""
WRITE: Final = 1 << 1 | sum(1 << bit for bit in range(4, 15))
"""Files: to write, make, remove, move and cut them."""
_OF_FILES: Final = EXECUTE | 1 << 1 | 1 << 2 | 1 << 14
_SINCE: Final = {1: 1 << 13, 2: 1 << 14}
"""Rights that are not there yet, up to these versions: to move between directories, to cut."""


def version() -> int:
    """What the running kernel has; 0 when it has none."""
    found: int = ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    return max(0, found)


def restrict(rights: int, allowed: Iterable[tuple[Path, int]]) -> bool:
    """Takes rights away, but for what lies beneath some paths; False when the kernel cannot.

    allowed  paths, and the rights that stay there; those that cannot be reached are left out
    Wants `no_new_privs`. Raises KernelRefusedError.
    """
    known = version()
    if not known:
        return False
    rights &= ~sum(right for last, right in _SINCE.items() if known <= last)
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=Q", rights)
    ruleset = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise refusal("confining to directories", ctypes.get_errno())
    try:
        for path, stays in allowed:
            _allow(libc, ruleset, path, rights & stays)
        if libc.syscall(_RESTRICT, ruleset, 0):
            raise refusal("confining to directories", ctypes.get_errno())
    finally:
        os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        beneath = struct.pack("=Qi", rights if path.is_dir() else rights & _OF_FILES, opened)
        if libc.syscall(_ADD, ruleset, _BENEATH, beneath, 0):
            raise refusal(f"confining to {path}", ctypes.get_errno())
    finally:
        os.close(opened)
