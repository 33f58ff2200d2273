"""Compressed files: gzip, zstd and lz4, several frames one behind the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pfq.errors import FileFormatError
from pfq.files.decoders import MAGIC_BYTES, Bytes, Decoder, known

PIECE_BYTES: Final = 1 << 16
"""What is read of a compressed file at a time."""


class Decompressor:
    """A compressed file, decompressed as it is asked for.

    read  gives up to the asked number of bytes of the compressed file, nothing at its end
    """

    def __init__(self, path: str, name: str, decoder: Callable[[], Decoder], read: Callable[[int], bytes]) -> None:
        self._path, self._name, self._new, self._read = path, name, decoder, read
        self._decoder = decoder()
        self._input: Bytes = b""
        self._output = memoryview(b"")
        self._taken = 0
        self._fault: FileFormatError | None = None

    def read_into(self, room: memoryview) -> int:
        """Fills `room` with what one piece of the file holds, or begins to; 0 at the end.

        Raises FileFormatError when the file is damaged or ends in a frame, once what was before it is read.
        """
        filled = 0
        while filled < len(room):
            if not self._output and not self._decodes(len(room) - filled, may_read=filled == 0):
                break
            part = self._output[: len(room) - filled]
            room[filled : filled + len(part)] = part
            self._output = self._output[len(part) :]
            filled += len(part)
        return filled

    def _decodes(self, limit: int, may_read: bool) -> bool:
        """Like `_decode`; when something was read already, a fault is told the next time."""
        try:
            if self._fault:
                raise self._fault
            return self._decode(limit, may_read)
        except FileFormatError as fault:
            self._fault = fault
            if may_read:
                raise
            return False

    def _decode(self, limit: int, may_read: bool) -> bool:
        """Goes on until there is output. False at the end, and when it would have to read but may not."""
        while not self._output:
            if self._decoder.eof and not self._next_frame(may_read):
                return False
            if not self._input and self._decoder.hungry and not (may_read and self._more()):
                if may_read:
                    at = f"{self._path}: at offset {self._taken}"
                    raise FileFormatError(f"{at}: the file ends in the middle of {self._name} data")
                return False
            self._output = memoryview(self._feed(limit))
        return True

    def _feed(self, limit: int) -> bytes:
        try:
            out = self._decoder.feed(self._input, limit)
        except Exception as error:  # each library has its own
            raise self._explained(error) from error
        self._input = self._decoder.rest
        return out

    def _explained(self, error: Exception) -> FileFormatError:
        at = f"{self._path}: behind offset {self._taken - len(self._input)}"
        if "too much memory" in str(error):
            hint = f"decompress it first: {self._name} -d --long=31"
            return FileFormatError(f"{at}: the {self._name} data needs over 128 MiB of memory", hint=hint)
        return FileFormatError(f"{at}: the {self._name} data is damaged: {error}")

    def _next_frame(self, may_read: bool) -> bool:
        """Begins another frame where one ended. False when the file ends here, or may not be read to find out."""
        while True:
            if self._name == "gzip":  # padded with zeros by tar and tapes
                self._input = bytes(self._input).lstrip(b"\0")
            if len(self._input) >= MAGIC_BYTES:
                break
            if not (may_read and self._more()):
                if may_read and self._input:
                    break
                return False
        self._name, self._new = known(bytes(self._input[:MAGIC_BYTES])) or (self._name, self._new)
        self._decoder = self._new()
        return True

    def _more(self) -> bool:
        data = self._read(PIECE_BYTES)
        self._taken += len(data)
        self._input = bytes(self._input) + data
        return bool(data)


def decompressor(path: str, magic: bytes, read: Callable[[int], bytes]) -> Decompressor | None:
    """For a file that begins with `magic`, which `read` gives once more; None if it is not compressed."""
    found = known(magic)
    return Decompressor(path, *found, read) if found else None
