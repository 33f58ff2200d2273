"""Builds capture files byte by byte, right ones and wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Iterable

Option = tuple[int, bytes]

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, STATISTICS, PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
TSRESOL, TSOFFSET = 9, 14


def pcap_header(
    order: str = "<", magic: int = 0xA1B2C3D4, version: tuple[int, int] = (2, 4), snaplen: int = 65535, network: int = 1
) -> bytes:
    """The 24 bytes that a classic file begins with."""
    return struct.pack(order + "IHHiIII", magic, *version, 0, 0, snaplen, network)


def pcap_record(
    data: bytes,
    seconds: int = 0,
    fraction: int = 0,
    *,
    size: int | None = None,
    caplen: int | None = None,
    order: str = "<",
) -> bytes:
    """A packet; `size` on the wire and `caplen` are those of `data` unless told otherwise."""
    caplen = len(data) if caplen is None else caplen
    return struct.pack(order + "IIII", seconds, fraction, caplen, len(data) if size is None else size) + data


class Blocks:
    """Builds the blocks of pcapng in one byte order."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self.order + form, *values)

    def block(self, kind: int, body: bytes, *, size: int | None = None, trailer: int | None = None) -> bytes:
        """A block; `size` and `trailer` are its two lengths where they should be wrong."""
        body += bytes(-len(body) % 4)
        right = 12 + len(body)
        size = right if size is None else size
        return self.pack("II", kind, size) + body + self.pack("I", size if trailer is None else trailer)

    def options(self, options: Iterable[Option], *, end: bool = True) -> bytes:
        listed = [self.pack("HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options]
        return b"".join(listed) + (bytes(4) if listed and end else b"")

    def section(self, major: int = 1, minor: int = 0, length: int = -1, options: Iterable[Option] = ()) -> bytes:
        return self.block(SECTION, self.pack("IHHq", 0x1A2B3C4D, major, minor, length) + self.options(options))

    def interface(self, link_type: int = 1, snaplen: int = 0, options: Iterable[Option] = ()) -> bytes:
        return self.block(INTERFACE, self.pack("HHI", link_type, 0, snaplen) + self.options(options))

    def packet(
        self,
        data: bytes,
        units: int = 0,
        number: int = 0,
        *,
        caplen: int | None = None,
        size: int | None = None,
        options: Iterable[Option] = (),
    ) -> bytes:
        """A packet, `units` of its interface's clock after 1970."""
        caplen = len(data) if caplen is None else caplen
        head = self.pack("IIIII", number, units >> 32, units & 0xFFFFFFFF, caplen, len(data) if size is None else size)
        return self.block(PACKET, head + data + bytes(-len(data) % 4) + self.options(options))

    def simple(self, data: bytes, size: int | None = None) -> bytes:
        return self.block(SIMPLE_PACKET, self.pack("I", len(data) if size is None else size) + data)

    def old(self, data: bytes, units: int = 0, number: int = 0, drops: int = 0) -> bytes:
        head = self.pack("HHIIII", number, drops, units >> 32, units & 0xFFFFFFFF, len(data), len(data))
        return self.block(OLD_PACKET, head + data)
