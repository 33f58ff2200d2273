"""Objects of the kernel under names, in a directory of a BPF file system, so that they outlive their process.

The directory is held by a descriptor, and every name is looked up from there: a file system that is mounted over it
later hides the pins from others, not from us.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from pfq.errors import LimitError, PfqError, StateError
from pfq.kernel import sys
from pfq.kernel.sys import Fd

T = TypeVar("T")

BPF_FS_MAGIC: Final = 0xCAFE4A11
LOCK_SECONDS: Final = 2.0
"""A process that was killed may take a moment to end."""
MOUNT_HINT: Final = "mount -t bpf bpf /sys/fs/bpf"

_libc = ctypes.CDLL(None, use_errno=True)


class Pins:
    """A directory of pins, and the right to change it: one process has it at a time.

    path  as it was when it was opened
    """

    def __init__(self, path: Path) -> None:
        """Makes the directory (0700) when there is none.

        Raises StateError when it is not in a BPF file system, or another process holds it; LimitError when the file
        system has no room.
        """
        self.path = path
        self._fd = Fd(_opened(path))
        try:
            if not _is_bpf(self._fd.fileno()):
                raise StateError(f"`{path}` is not in a BPF file system", hint=MOUNT_HINT)
            _lock(self._fd.fileno(), path)
        except BaseException:
            self._fd.close()
            raise

    @property
    def identity(self) -> list[int]:
        """Tells the directory from another one that is mounted over it: device and inode."""
        found = os.fstat(self._fd.fileno())
        return [found.st_dev, found.st_ino]

    def is_visible(self) -> bool:
        """Whether its path still leads to it; otherwise something was mounted over it, or it was removed."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return [found.st_dev, found.st_ino] == self.identity

    def names(self) -> set[str]:
        """All names in it. Those with a dot are the kernel's own."""
        return {name for name in self._tried("reading", "", lambda: os.listdir(self._fd.fileno())) if "." not in name}

    def pin(self, fd: int, name: str) -> None:
        """Gives an object a name; raises LimitError or KernelRefusedError, which say the path."""
        self._tried("pinning to", name, lambda: sys.obj_pin(fd, self._inner(name)))

    def open(self, name: str) -> Fd:
        """The object with a name; raises KernelRefusedError when there is none."""
        return self._tried("opening", name, lambda: sys.obj_get(self._inner(name)))

    def remove(self, name: str) -> None:
        """Takes a name away; harmless when it is not there."""

        def unlink() -> None:
            try:
                os.unlink(name, dir_fd=self._fd.fileno())
            except FileNotFoundError:
                return

        self._tried("removing", name, unlink)

    def remove_directory(self) -> None:
        """Removes the directory, when it is empty and still where it was, and no file system begins there; a process
        that may not leaves it, empty."""
        if self.is_visible() and not os.path.ismount(self.path) and not self.names():
            with suppress(PermissionError):
                os.rmdir(self.path)

    def close(self) -> None:
        """Gives the directory back; names stay. Again is harmless."""
        self._fd.close()

    def _inner(self, name: str) -> str:
        return f"/proc/self/fd/{self._fd.fileno()}/{name}"

    def _tried(self, what: str, name: str, work: Callable[[], T]) -> T:
        """The result of `work`; errors say the path as users know it."""
        try:
            return work()
        except OSError as error:
            raise self._fault(what, name, error) from error
        except PfqError as error:
            if isinstance(error.__cause__, OSError):
                raise self._fault(what, name, error.__cause__) from error.__cause__
            raise

    def _fault(self, what: str, name: str, error: OSError) -> PfqError:
        shown = self.path / name if name else self.path
        number = error.errno or 0
        match number:
            case errno.ENOSPC | errno.EDQUOT:
                return LimitError(
                    f"{what} `{shown}` failed: the file system has no room for another name",
                    hint="remove pins that nobody needs, or mount it with room for more",
                )
            case errno.EROFS:
                return StateError(
                    f"{what} `{shown}` failed: the file system is read-only", hint="mount -o remount,rw /sys/fs/bpf"
                )
            case _:
                return sys.refusal(f"{what} `{shown}`", number)


def _opened(path: Path) -> int:
    """A descriptor of the directory, which is made when its parent is in a BPF file system."""
    try:
        if not path.is_dir():
            parent = next(parent for parent in path.absolute().parents if parent.is_dir())
            with Fd(os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as above:
                if not _is_bpf(above.fileno()):
                    raise StateError(f"`{parent}` is not in a BPF file system", hint=MOUNT_HINT)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EROFS:
            hint = "mount -o remount,rw /sys/fs/bpf"
            raise StateError(f"`{path}` cannot be made: the file system is read-only", hint=hint) from error
        raise sys.refusal(f"opening the directory `{path}`", error.errno or 0) from error


def _is_bpf(fd: int) -> bool:
    # The first word of struct statfs; the whole has 120 bytes at most.
    record = (ctypes.c_long * 32)()
    if _libc.fstatfs(fd, ctypes.byref(record)) != 0:
        raise sys.refusal("asking for the type of a file system", ctypes.get_errno())
    return record[0] & 0xFFFFFFFF == BPF_FS_MAGIC


def _lock(fd: int, path: Path) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StateError(
                    f"another process holds `{path}`", hint="stop that one first, or use another directory"
                ) from None
            time.sleep(0.02)
        else:
            return
