"""Where the bytes of a capture file come from: a file, a pipe, standard input; compressed or not."""

from __future__ import annotations

import io
import os
import stat
from os import PathLike, fspath
from select import select
from typing import Any, BinaryIO, Final

from pfq.errors import FileAccessError
from pfq.files.compression import decompressor
from pfq.files.decoders import MAGIC_BYTES

STDIN: Final = "-"


class Source:
    """The bytes of a file from front to back, decompressed.

    path     its name for messages
    size     bytes of the file as it is on the disk, None when that cannot be known
    regular  reading never waits for someone who writes
    """

    def __init__(self, path: str | PathLike[str] | BinaryIO) -> None:
        """path: `-` is standard input. Raises FileAccessError, and what the first bytes may raise."""
        self.path, file, self._is_ours = _open(path)
        self._file = _File(self.path, file)
        self.size, self.regular = _size(file)
        try:
            self._decompressor = decompressor(self.path, self._file.peek(), self._file.read)
        except BaseException:
            self.close()
            raise

    @property
    def compressed(self) -> bool:
        return self._decompressor is not None

    @property
    def position(self) -> int:
        """Bytes of the file, as it is on the disk, that were read so far."""
        return self._file.position

    def descriptor(self) -> int | None:
        """Of a file that may be read from the descriptor's position on instead of by `read_into`, or None.

        Whoever does so tells by `advance` how far he is.
        """
        if self.regular and self._is_ours and not self.compressed:
            return self._file.descriptor()
        return None

    def advance(self, count: int) -> None:
        """`count` bytes were read from the descriptor."""
        self._file.position += count

    def read_into(self, room: memoryview) -> int:
        """Fills `room`, or a part of it with what is there already; 0 at the end of the file.

        Raises FileAccessError, or FileFormatError for damage in compressed data.
        """
        return (self._decompressor or self._file).read_into(room)

    def close(self) -> None:
        """Closes the file if it was opened here."""
        if self._is_ours:
            self._file.close()


class _File:
    """A file whose first bytes can be looked at before they are read."""

    def __init__(self, path: str, file: Any) -> None:
        self._path, self._file = path, file
        self._head = b""
        self.position = 0

    def peek(self) -> bytes:
        """The first bytes, fewer than asked for only when the file has no more."""
        while len(self._head) < MAGIC_BYTES:
            room = bytearray(MAGIC_BYTES - len(self._head))
            count = self._read_into(memoryview(room))
            if count == 0:
                break
            self._head += room[:count]
        return self._head

    def read(self, most: int) -> bytes:
        """What is there, at most so much; nothing at the end."""
        if self._head:
            head, self._head = self._head, b""
            return head
        room = bytearray(most)
        return bytes(memoryview(room)[: self._read_into(memoryview(room))])

    def read_into(self, room: memoryview) -> int:
        """The same, into `room`."""
        head = len(self._head)
        room[:head], self._head = self._head, b""
        return head + self._read_into(room[head:])

    def descriptor(self) -> int:
        """Its position is where reading would go on."""
        descriptor = int(self._file.fileno())
        os.lseek(descriptor, -len(self._head), os.SEEK_CUR)
        self.position -= len(self._head)
        self._head = b""
        return descriptor

    def close(self) -> None:
        self._file.close()

    def _read_into(self, room: memoryview) -> int:
        try:
            count = self._readinto(room)
        except OSError as error:
            raise FileAccessError(f"cannot read {self._path}: {error.strerror or error}") from error
        self.position += count
        return count

    def _readinto(self, room: memoryview) -> int:
        file = self._file
        if hasattr(file, "readinto1"):  # does not wait until the room is full
            return int(file.readinto1(room))
        if hasattr(file, "readinto"):
            while (count := file.readinto(room)) is None:  # a descriptor that does not wait by itself
                select([file], [], [])
            return int(count)
        data = file.read(len(room))
        room[: len(data)] = data
        return len(data)


def _open(path: str | PathLike[str] | BinaryIO) -> tuple[str, Any, bool]:
    """The name, the file and whether it is ours to close."""
    if not isinstance(path, str | PathLike):
        file: Any = path
        name = str(getattr(file, "name", "the file"))
        if isinstance(file, io.TextIOBase):
            raise FileAccessError(f"{name} is open for text", hint='open it with mode "rb"')
        return name, file, False
    name = fspath(path)
    try:
        if name == STDIN:
            return "standard input", open(0, "rb", buffering=0, closefd=False), True
        return name, open(name, "rb", buffering=0), True
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileAccessError(f"cannot open {name}: {reason}", hint="check the name and its rights") from error


def _size(file: Any) -> tuple[int | None, bool]:
    try:
        status = os.fstat(file.fileno())
    except (OSError, AttributeError, ValueError):
        return None, False
    regular = stat.S_ISREG(status.st_mode)
    return (status.st_size if regular else None), regular
