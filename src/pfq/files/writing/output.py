"""The file that is written: all of what it is given, or a known part of it."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from pfq.errors import FileAccessError, OutputError, UsageError

STANDARD_OUTPUT: Final = "-"

_REMEDIES = {
    errno.ENOSPC: "make room on that file system, or write to another one",
    errno.EDQUOT: "make room within your quota, or write to another file system",
    errno.EPIPE: "the program that reads the packets has ended; start both again",
}


class Output:
    """A file open for writing, from its creation until it is closed or a write fails."""

    def __init__(self, path: str) -> None:
        """Creates the file, or empties it; `-` is standard output. Raises FileAccessError."""
        self.path = path
        self.position = 0
        """bytes written"""
        self._fd = _create(path)
        self._error = OSError(0, "nothing failed")

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def write(self, data: bytes | memoryview) -> int:
        """Writes `data`, or as much as there is room for; returns bytes. `fail` has the reason."""
        self._check()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self._error = error
        self.position += written
        return written

    def patch(self, at: int, data: bytes) -> None:
        """Overwrites a few bytes of what was written `at` bytes from the start, where the file allows it."""
        if self.path != STANDARD_OUTPUT and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.pwrite(self._fd, data, at)

    def fail(self, surplus: int, packets: int) -> OutputError:
        """Closes the file after a write that stopped early; the error to raise.

        surplus: bytes at the end that are part of something, which are cut off where the file allows it
        packets: that are in the file
        """
        if surplus and stat.S_ISREG(os.fstat(self._fd).st_mode):
            end = os.lseek(self._fd, -surplus, os.SEEK_CUR)
            os.ftruncate(self._fd, end)
        self.close()
        error = self._error
        return OutputError(
            f"writing {self.path} failed after {packets} packets: {error.strerror}",
            hint=_REMEDIES.get(error.errno or 0, "write to another place"),
        )

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self) -> None:
        if self._fd < 0:
            raise UsageError(f"the writer of {self.path} is closed")


def _create(path: str) -> int:
    if path == STANDARD_OUTPUT:
        return os.dup(1)
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise FileAccessError(f"cannot create {path}: {why}", hint="name a file in a folder you can write to") from None
