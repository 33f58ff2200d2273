"""The formats of capture files in plain Python, as slow and as simple as can be: the judge of the reader in C."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pfq.files import Frame

LARGEST = 1 << 24
"""Bytes of the largest packet or block that is believed."""

LATEST_NS = (1 << 64) - 1
"""The latest time that records can hold; later ones become this one."""

_SECOND_NS = 1_000_000_000
_MAGICS = {0xA1B2C3D4: (16, 1000), 0xA1B23C4D: (16, 1), 0xA1B2CD34: (24, 1000)}


class Damage(Exception):
    """The file is damaged at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def read(data: bytes) -> tuple[list[Frame], int | None]:
    """The packets of a file, and where it is damaged; None when it is not."""
    frames: list[Frame] = []
    try:
        for frame in _pcapng(data) if data[:4] == b"\n\r\r\n" else _pcap(data):
            frames.append(frame)  # noqa: PERF402 - they are wanted although it raises
    except Damage as damage:
        return frames, damage.offset
    return frames, None


def _pcap(data: bytes) -> Iterator[Frame]:
    for order in "<>":
        if len(data) >= 24 and struct.unpack_from(order + "I", data)[0] in _MAGICS:
            break
    else:
        raise Damage(0)
    magic, major, minor, _, _, _, network = struct.unpack_from(order + "IHHiIII", data)
    if major != 2 and (major, minor) != (543, 0):
        raise Damage(0)
    head_bytes, unit_ns = _MAGICS[magic]
    at = 24
    while at < len(data):
        if at + head_bytes > len(data):
            raise Damage(at)
        seconds, fraction, caplen, size = struct.unpack_from(order + "IIII", data, at)
        if (major, minor) < (2, 3) or major == 543 or ((major, minor) == (2, 3) and caplen > size):
            caplen, size = size, caplen  # as old versions had them
        if caplen > LARGEST or at + head_bytes + caplen > len(data):
            raise Damage(at)
        begin = at + head_bytes
        ts_ns = seconds * _SECOND_NS + fraction * unit_ns
        yield Frame(ts_ns, size, data[begin : begin + caplen], network & 0xFFFF, 0)
        at = begin + caplen


@dataclass
class _Interface:
    number: int
    link_type: int
    snaplen: int
    units_per_second: int = 1_000_000
    offset_s: int = 0

    def ns(self, units: int) -> int:
        ns = units * _SECOND_NS // self.units_per_second + self.offset_s * _SECOND_NS
        return min(max(ns, 0), LATEST_NS)


class _Block:
    """The block at an offset, with its fields in its section's byte order."""

    def __init__(self, data: bytes, at: int, order: str) -> None:
        self.at = at
        if at + 8 > len(data):
            raise Damage(at)
        self.kind = struct.unpack_from(order + "I", data, at)[0]
        if self.kind == 0x0A0D0D0A:
            order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(data[at + 8 : at + 12], "")
        if not order:
            raise Damage(at)
        self.order = order
        (self.size,) = struct.unpack_from(order + "I", data, at + 4)
        whole = data[at : at + self.size]
        if not 12 <= self.size <= LARGEST or self.size % 4 or len(whole) < self.size or whole[4:8] != whole[-4:]:
            raise Damage(at)
        self.body = whole[8:-4]

    def fields(self, form: str) -> tuple[int, ...]:
        if struct.calcsize(self.order + form) > len(self.body):
            raise Damage(self.at)
        return struct.unpack_from(self.order + form, self.body)

    def options(self, at: int) -> list[tuple[int, bytes]]:
        """All options, from a place in the body on."""
        found = []
        while at + 4 <= len(self.body):
            code, size = struct.unpack_from(self.order + "HH", self.body, at)
            if code == 0:
                break
            if at + 4 + size > len(self.body):
                raise Damage(self.at)
            found.append((code, self.body[at + 4 : at + 4 + size]))
            at += 4 + (size + 3 & ~3)
        return found


def _pcapng(data: bytes) -> Iterator[Frame]:
    order, at, known = "<", 0, 0
    interfaces: list[_Interface] = []
    while at < len(data):
        block = _Block(data, at, order)
        order = block.order
        if block.kind == 0x0A0D0D0A:
            if block.fields("IHHq")[1] != 1:
                raise Damage(at)
            block.options(16)
            interfaces = []
        elif block.kind == 1:
            interfaces.append(_interface(block, known))
            known += 1
        elif block.kind == 5:
            block.fields("III")
            block.options(12)
        elif block.kind in (2, 3, 6):
            yield _packet(block, interfaces)
        at += block.size


def _interface(block: _Block, number: int) -> _Interface:
    link_type, _, snaplen = block.fields("HHI")
    interface = _Interface(number, link_type, snaplen)
    for code, value in block.options(8):
        if code == 9 and len(value) == 1:
            interface.units_per_second = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
        elif code == 14 and len(value) == 8:
            (interface.offset_s,) = struct.unpack(block.order + "q", value)
    return interface


def _packet(block: _Block, interfaces: list[_Interface]) -> Frame:
    if block.kind == 3:
        (size,), number, units, at = block.fields("I"), 0, None, 4
        caplen = min(size, interfaces[0].snaplen or size) if interfaces else 0
    else:
        form = "HxxIIII" if block.kind == 2 else "IIIII"
        number, high, low, caplen, size = block.fields(form)
        units, at = high << 32 | low, 20
    if number >= len(interfaces) or caplen > len(block.body) - at:
        raise Damage(block.at)
    interface = interfaces[number]
    ts_ns = 0 if units is None else interface.ns(units)
    return Frame(ts_ns, size, block.body[at : at + caplen], interface.link_type, interface.number)
