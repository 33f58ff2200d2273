"""The classic format, pcap: a header, then records."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pfq.files.frame import Frame
from pfq.files.stream import Stream

# First four bytes -> byte order, ns per unit of the second time field.
MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_LINK_TYPE_BITS = 0xFFFF  # what lies above tells the length of the frame check sequence


def read_pcap(stream: Stream, magic: bytes) -> Iterator[Frame]:
    """The frames after the magic number, which was read already."""
    order, unit_ns = MAGICS[magic]
    header = struct.unpack(order + "HHiIII", stream.exactly(20, "the header"))
    major, minor, network = header[0], header[1], header[5]
    if major != 2:
        raise stream.damage(f"version {major}.{minor} of pcap is unknown")
    record = struct.Struct(order + "IIII")
    while head := stream.start_record(record.size, "the header of a packet"):
        seconds, fraction, caplen, length = record.unpack(head)
        data = stream.exactly(caplen, "a packet")
        yield Frame(seconds * 1_000_000_000 + fraction * unit_ns, length, data, network & _LINK_TYPE_BITS, 0)
