"""The newer format, pcapng: sections of blocks (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pfq.files.frame import Frame
from pfq.files.stream import LARGEST_RECORD, Stream

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"
"""Type of the block that every file begins with; reads the same in both byte orders."""

_SECTION, _INTERFACE, _SIMPLE_PACKET = 0x0A0D0D0A, 1, 3
_PACKETS = {6: "IIIII", 2: "HxxIIII"}  # the old kind, 2, counts drops in its second half word
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
_SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class _Interface:
    link_type: int
    snaplen: int
    units_per_second: int = 1_000_000
    offset_s: int = 0

    def ns(self, units: int) -> int:
        return self.offset_s * _SECOND_NS + units * _SECOND_NS // self.units_per_second


def read_pcapng(stream: Stream) -> Iterator[Frame]:
    """The frames of a file whose first four bytes were read already."""
    order = _section_order(stream)
    interfaces: list[_Interface] = []
    while head := stream.start_record(4, "a block"):
        kind = struct.unpack(order + "I", head)[0]
        if kind == _SECTION:
            order, interfaces = _section_order(stream), []
            continue
        body = _body(stream, order, stream.exactly(4, "a block"))
        if kind == _INTERFACE:
            interfaces.append(_interface(stream, order, body))
        elif kind in _PACKETS:
            number, high, low, caplen, length = _fields(stream, order + _PACKETS[kind], body)
            interface = _of(stream, interfaces, number)
            data = _data(stream, body[20:], caplen)
            yield Frame(interface.ns(high << 32 | low), length, data, interface.link_type, number)
        elif kind == _SIMPLE_PACKET:  # no time, no captured length: what is left at the snap length
            (length,) = _fields(stream, order + "I", body)
            interface = _of(stream, interfaces, 0)
            data = _data(stream, body[4:], min(length, interface.snaplen or length))
            yield Frame(0, length, data, interface.link_type, 0)


def _section_order(stream: Stream) -> str:
    """Reads a section header behind its type; returns the section's byte order."""
    size, magic = stream.exactly(4, "a section header"), stream.exactly(4, "a section header")
    if magic not in _ORDERS:
        raise stream.damage("a section header without its byte-order mark")
    order = _ORDERS[magic]
    body = magic + _body(stream, order, size, already=4)
    _, major, minor, _ = _fields(stream, order + "IHHq", body)
    if major != 1:
        raise stream.damage(f"version {major}.{minor} of pcapng is unknown")
    return order


def _body(stream: Stream, order: str, size_field: bytes, already: int = 0) -> bytes:
    """The rest of a block between its two length fields; `already` bytes of it were read."""
    (size,) = struct.unpack(order + "I", size_field)
    if size < 12 + already or size % 4 or size > LARGEST_RECORD:
        raise stream.damage(f"a block cannot have {size} bytes")
    body = stream.exactly(size - 12 - already, "a block")
    if stream.exactly(4, "a block") != size_field:
        raise stream.damage("the two lengths of a block differ")
    return body


def _fields(stream: Stream, form: str, body: bytes) -> tuple[int, ...]:
    if len(body) < struct.calcsize(form):
        raise stream.damage("a block too short for its kind")
    return struct.unpack_from(form, body)


def _interface(stream: Stream, order: str, body: bytes) -> _Interface:
    link_type, _, snaplen = _fields(stream, order + "HHI", body)
    interface = _Interface(link_type, snaplen)
    for code, value in _options(stream, order, body[8:]):
        if code == _IF_TSRESOL and len(value) == 1:
            base, exponent = (2, value[0] & 0x7F) if value[0] & 0x80 else (10, value[0])
            interface.units_per_second = base**exponent
        elif code == _IF_TSOFFSET and len(value) == 8:
            (interface.offset_s,) = struct.unpack(order + "q", value)
    return interface


def _options(stream: Stream, order: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            return
        if at + 4 + size > len(data):
            raise stream.damage("an option longer than its block")
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + (size + 3 & ~3)


def _of(stream: Stream, interfaces: list[_Interface], number: int) -> _Interface:
    if number >= len(interfaces):
        raise stream.damage(f"a packet of interface {number}, but the section has {len(interfaces)}")
    return interfaces[number]


def _data(stream: Stream, rest: bytes, caplen: int) -> bytes:
    if caplen > len(rest):
        raise stream.damage(f"a packet of {caplen} bytes in a smaller block")
    return rest[:caplen]
