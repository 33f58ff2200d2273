"""Times of all resolutions and offsets, exact to the ns by Python's own big integers."""

from __future__ import annotations

import io
import random
import struct

import pytest
from support.capturefiles import TSOFFSET, TSRESOL, Blocks, pcap_header, pcap_record

from pfq.files.capfile import CaptureFile

SECOND_NS = 1_000_000_000
LATEST_NS = (1 << 64) - 1
OFFSETS = (0, 1, -1, 1 << 33, -(1 << 33), 5 - (1 << 40), (1 << 63) - 1, -(1 << 63), -18_446_744_073)
UNITS = (
    0,
    1,
    999,
    10**6,
    (1 << 32) - 1,
    1 << 32,
    1 << 40,
    (1 << 53) + 1,
    1 << 63,
    (1 << 64) - 1,
    18_446_744_073_709_551,
)


def times(data: bytes) -> list[int]:
    with CaptureFile(io.BytesIO(data)) as file:
        return [ts_ns for records in file.runs() for ts_ns in records.array["ts_ns"].tolist()]


def exact(resolution: int, offset_s: int, units: int) -> int:
    """What the format says, rounded down, and brought into what a record can hold."""
    per_second = (2 if resolution & 0x80 else 10) ** (resolution & 0x7F)
    return min(max(units * SECOND_NS // per_second + offset_s * SECOND_NS, 0), LATEST_NS)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("base", [0, 0x80])
def test_M7_every_resolution(base: int, order: str) -> None:
    chance = random.Random(base)
    b = Blocks(order)
    data, expected = b.section(), []
    cases = [(base + exponent, offset) for exponent in range(128) for offset in OFFSETS]
    for resolution, offset in cases:
        seconds = struct.pack(order + "q", offset)
        data += b.interface(options=[(TSRESOL, bytes([resolution])), (TSOFFSET, seconds)])
    for number, (resolution, offset) in enumerate(cases):
        for units in (*UNITS, chance.getrandbits(64), chance.getrandbits(45)):
            data += b.packet(b"", units, number)
            expected.append(exact(resolution, offset, units))
    of = [case for case in cases for _ in range(len(expected) // len(cases))]
    wrong = [row for row in zip(of, times(data), expected, strict=True) if row[1] != row[2]]
    assert wrong == []


@pytest.mark.parametrize("unit_ns", [1, 1000])
def test_M6_every_fraction(unit_ns: int) -> None:
    pairs = [
        (s, f) for s in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF) for f in (0, 1, 999_999, 10**6, 10**9, 0xFFFFFFFF)
    ]
    magic = 0xA1B2C3D4 if unit_ns == 1000 else 0xA1B23C4D
    data = pcap_header(magic=magic) + b"".join(pcap_record(b"", s, f) for s, f in pairs)
    assert times(data) == [s * SECOND_NS + f * unit_ns for s, f in pairs]
