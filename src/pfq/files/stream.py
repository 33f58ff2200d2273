"""A binary file read front to back, with errors that say where."""

from __future__ import annotations

from typing import BinaryIO

from pfq.errors import FileAccessError, FileFormatError

LARGEST_RECORD = 1 << 24
"""Bytes of the longest packet record or block believed; a larger length is damage."""


class Stream:
    """`offset` is the place of the next byte; `record` where the current record began."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self.offset = 0
        self.record = 0

    def exactly(self, size: int, what: str) -> bytes:
        """The next `size` bytes; FileFormatError when the file ends before."""
        return self._whole(self._read(size), size, what)

    def start_record(self, size: int, what: str) -> bytes | None:
        """Like `exactly` at the start of a record, where the file may also end: then None."""
        self.record = self.offset
        data = self._read(size)
        return self._whole(data, size, what) if data else None

    def damage(self, what: str, hint: str | None = None) -> FileFormatError:
        """The error for the current record."""
        return FileFormatError(f"{self._path}: at offset {self.record}: {what}", hint=hint)

    def _whole(self, data: bytes, size: int, what: str) -> bytes:
        if len(data) < size:
            raise self.damage(f"the file ends in {what} ({len(data)} of {size} bytes)")
        return data

    def _read(self, size: int) -> bytes:
        if size > LARGEST_RECORD:
            raise self.damage(f"a length of {size} bytes is not credible")
        try:
            data = self._file.read(size)
        except OSError as error:
            raise FileAccessError(f"cannot read {self._path}: {error.strerror}") from error
        self.offset += len(data)
        return data
