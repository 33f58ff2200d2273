"""Files that are watched, by inotify: tells when one of them is another one than before.

The folders are watched, not the files, because editors put a new file in the place of the old one.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

Print = tuple[int, int, int, int] | None
"""What tells one version of a file from the next: device, inode, size, time of the last change."""

_IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_DELETE = 0x008, 0x040, 0x080, 0x200
_IN_ATTRIB, _IN_CREATE = 0x004, 0x100
_WATCHED: Final = _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_DELETE | _IN_ATTRIB | _IN_CREATE
_LARGEST_READ: Final = 1 << 16

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Files:
    """Some files; any thread may say which. `fileno()` is readable when it is time to ask `changed()`."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._lock = threading.Lock()
        self._watches: dict[Path, int] = {}
        self._prints: dict[Path, Print] = {}

    def watch(self, files: Iterable[Path]) -> None:
        """From now on these files: new ones as they are now, the others as they were when they were looked at last."""
        with self._lock:
            paths = [path.absolute() for path in files]
            self._prints = {path: self._prints[path] if path in self._prints else _print(path) for path in paths}
            folders = {folder for path in self._prints for folder in _folders(path)}
            for folder in self._watches.keys() - folders:
                _libc.inotify_rm_watch(self._fd, self._watches.pop(folder))
            for folder in folders - self._watches.keys():
                number = _libc.inotify_add_watch(self._fd, os.fsencode(folder), _WATCHED)
                if number >= 0:
                    self._watches[folder] = number

    def changed(self) -> list[Path]:
        """The files that are others than when this was asked last."""
        with suppress(BlockingIOError):
            while os.read(self._fd, _LARGEST_READ):
                pass
        with self._lock:
            now = {path: _print(path) for path in self._prints}
            found = [path for path in now if now[path] != self._prints[path]]
            self._prints = now
        return found

    def fileno(self) -> int:
        return int(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _print(path: Path) -> Print:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _folders(path: Path) -> tuple[Path, Path]:
    """The folder that has the name, and that of the file which a symbolic link stands for."""
    return Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent
