"""Decompressing one frame of gzip, zstd or lz4 so that what precedes damaged bytes comes out, and never too much."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

Bytes = bytes | memoryview

_LONGEST_HEADER: Final = 32
"""Parts of a frame up to this size are looked at; longer ones are blocks."""
_ENDLESS: Final = 1 << 62


class Decoder(Protocol):
    """Decompresses one frame.

    eof     the frame is over
    rest    input that is to be given once more, in front of what follows it
    hungry  nothing comes without further input
    """

    eof: bool
    rest: Bytes
    hungry: bool

    def feed(self, data: Bytes, limit: int) -> bytes:
        """What comes of more input: about `limit` bytes, or a block. Of damaged input comes what the library raises."""


class Gzip:
    """Damage is met in the middle of the input: what is before it is found with a copy, byte by byte."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._broken: zlib.error | None = None
        self.eof, self.hungry = False, True
        self.rest: Bytes = b""

    def feed(self, data: Bytes, limit: int) -> bytes:
        if self._broken:
            raise self._broken
        before = self._zlib.copy()
        try:
            out = self._zlib.decompress(data, limit)
        except zlib.error as error:
            self._broken, self.hungry = error, False
            return self._salvage(before, data)
        self.eof = self._zlib.eof
        self.rest = self._zlib.unused_data if self.eof else self._zlib.unconsumed_tail
        self.hungry = len(out) < limit
        return out

    def _salvage(self, decoder: Any, data: Bytes) -> bytes:
        """What comes before the byte at which the damage shows, which `rest` then begins with."""
        out = bytearray()
        for i in range(len(data)):
            self.rest = memoryview(data)[i:]
            try:
                out += decoder.decompress(data[i : i + 1])
            except zlib.error:
                break
        return bytes(out)


Parts = Generator[int, bytes, None]
"""The sizes of the parts of a frame, one after the other; is sent the bytes of those that are short."""


def zstd_parts() -> Parts:
    """Magic and descriptor, the rest of the header, then blocks with their headers (RFC 8878)."""
    head = yield 5
    if head[3] == 0x18:  # a skippable frame: 4 bytes of size behind the magic
        yield int.from_bytes(head[4:] + (yield 3), "little")
        return
    descriptor = head[4]
    is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content = (is_single, 2, 4, 8)[descriptor >> 6]
    yield (1 - is_single) + (0, 1, 2, 4)[descriptor & 3] + content
    is_last = False
    while not is_last:
        block = int.from_bytes((yield 3), "little")
        is_last, is_repeated = bool(block & 1), block >> 1 & 3 == 1
        yield 1 if is_repeated else block >> 3
    yield 4 * has_checksum


def lz4_parts() -> Parts:
    """Magic and flags, the rest of the header, then blocks with their sizes (lz4_Frame_format)."""
    flags = (yield 6)[4]
    block_checksum, content_size, content_checksum, dictionary = (flags >> bit & 1 for bit in (4, 3, 2, 0))
    yield 8 * content_size + 4 * dictionary + 1
    while size := int.from_bytes((yield 4), "little"):
        yield (size & 0x7FFF_FFFF) + 4 * block_checksum
    yield 4 * content_checksum


class InParts:
    """Gives a library the parts of a frame one at a time, so that a damaged one does not take others with it.

    library  an object with `decompress`, `eof` and `unused_data`
    """

    def __init__(self, library: Any, parts: Callable[[], Parts]) -> None:
        self._library = library
        self._parts = parts()
        self._left = next(self._parts)
        self._seen = b""
        self.eof, self.hungry = False, True
        self.rest: Bytes = b""

    def feed(self, data: Bytes, limit: int) -> bytes:
        size = min(self._left, len(data))
        part, self.rest = data[:size], memoryview(data)[size:]
        self._next(part)
        out: bytes = self._library.decompress(bytes(part))
        self.eof = self._library.eof
        if unused := self._library.unused_data:
            self.rest = memoryview(bytes(unused) + bytes(self.rest))
        self.hungry = not self.rest
        return out

    def _next(self, part: Bytes) -> None:
        """Goes on in the frame; after its last part the library has the say."""
        self._left -= len(part)
        if len(self._seen) < _LONGEST_HEADER:
            self._seen += part[:_LONGEST_HEADER]
        while self._left == 0:
            seen, self._seen = self._seen, b""
            try:
                self._left = self._parts.send(seen)
            except StopIteration:
                self._left = _ENDLESS


def zstd() -> Decoder:
    import zstandard

    return InParts(zstandard.ZstdDecompressor().decompressobj(), zstd_parts)


def lz4() -> Decoder:
    from lz4.frame import LZ4FrameDecompressor

    return InParts(LZ4FrameDecompressor(), lz4_parts)


MAGIC_BYTES: Final = 4
_SKIPPABLE: Final = [bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60)]
_KINDS: Final[dict[bytes, tuple[str, Callable[[], Decoder]]]] = {
    b"\x1f\x8b": ("gzip", Gzip),
    b"\x28\xb5\x2f\xfd": ("zstd", zstd),
    **dict.fromkeys(_SKIPPABLE, ("zstd", zstd)),
    b"\x04\x22\x4d\x18": ("lz4", lz4),
}


def known(magic: bytes) -> tuple[str, Callable[[], Decoder]] | None:
    """The name of the format that begins so, and what makes a decoder for its frame; None when it is none of ours."""
    return next((kind for begin, kind in _KINDS.items() if magic.startswith(begin)), None)
