"""Capture files with one thing wrong or odd in each, and what a reader has to make of them."""

from __future__ import annotations

import struct
from typing import NamedTuple

from support.capturefiles import (
    INTERFACE,
    PACKET,
    SECTION,
    SIMPLE_PACKET,
    STATISTICS,
    TSOFFSET,
    TSRESOL,
    Blocks,
    Option,
    pcap_header,
    pcap_record,
)


class Shape(NamedTuple):
    """A file; `packets` are delivered, then comes an error at `offset`, or the end when that is None."""

    data: bytes
    packets: int
    offset: int | None = None


B, BIG = Blocks("<"), Blocks(">")
DATA = bytes(range(20))
PCAP = pcap_header() + pcap_record(DATA)
"""One packet; what follows begins at `len(PCAP)`."""

START = B.section() + B.interface()
NG = START + B.packet(DATA)
"""The same in pcapng."""

P, N = len(PCAP), len(NG)
HUGE = 0xFFFFFFFF


def _swapped() -> bytes:
    """A packet whose two lengths have changed places, as up to version 2.3: 60 on the wire."""
    return pcap_record(DATA, caplen=60, size=len(DATA))


def _old(major: int, minor: int) -> tuple[bytes, int]:
    return pcap_header(version=(major, minor)) + _swapped() + _swapped(), 2


def _pcap() -> dict[str, Shape]:
    kuznetzov = struct.pack("<IIIIIHBB", 1, 2, len(DATA), 60, 7, 0x800, 1, 0) + DATA
    return {
        **{f"header-{size}": Shape(pcap_header()[:size], 0, 0) for size in range(24)},
        "no-packets": Shape(pcap_header(), 0),
        "magic": Shape(pcap_header(magic=0xA1B2C3D5) + pcap_record(DATA), 0, 0),
        "magic-ixia": Shape(pcap_header(magic=0x1C0001AC) + pcap_record(DATA), 0, 0),
        "swapped": Shape(pcap_header(">") + pcap_record(DATA, order=">"), 1),
        "nanoseconds": Shape(pcap_header(magic=0xA1B23C4D) + pcap_record(DATA), 1),
        "kuznetzov": Shape(pcap_header(magic=0xA1B2CD34) + kuznetzov, 1),
        **{f"version-{major}": Shape(pcap_header(version=(major, 4)) + pcap_record(DATA), 0, 0) for major in (0, 1, 3)},
        **{
            f"version-{major}-{minor}": Shape(*_old(major, minor))
            for major, minor in ((2, 0), (2, 1), (2, 2), (543, 0))
        },
        "version-2-3": Shape(pcap_header(version=(2, 3)) + pcap_record(DATA, size=60) + _swapped(), 2),
        "version-2-4": Shape(PCAP + _swapped(), 1, P),
        "version-543-4": Shape(pcap_header(version=(543, 4)) + pcap_record(DATA), 0, 0),
        "link-type-with-more": Shape(pcap_header(network=0x3400_0001) + pcap_record(DATA), 1),
        "link-type-reserved": Shape(pcap_header(network=0x0FFF_0001) + pcap_record(DATA), 1),
        "caplen-huge": Shape(PCAP + pcap_record(DATA, caplen=HUGE), 1, P),
        "caplen-negative": Shape(PCAP + pcap_record(DATA, caplen=1 << 31), 1, P),
        "caplen-256-mib": Shape(PCAP + pcap_record(DATA, caplen=256 << 20), 1, P),
        "caplen-over-snaplen": Shape(pcap_header(snaplen=16) + pcap_record(DATA), 1),
        "caplen-over-len": Shape(PCAP + pcap_record(DATA, size=3) + pcap_record(DATA), 3),
        "caplen-over-file": Shape(PCAP + pcap_record(DATA, caplen=len(DATA) + 1), 1, P),
        "caplen-0": Shape(PCAP + pcap_record(b"", size=60), 2),
        "len-0": Shape(PCAP + pcap_record(b""), 2),
        "fraction-too-large": Shape(pcap_header() + pcap_record(DATA, 1, 1_000_000) + pcap_record(DATA, 1, HUGE), 2),
        "latest-time": Shape(pcap_header() + pcap_record(DATA, HUGE, 999_999), 1),
        "snaplen-0": Shape(pcap_header(snaplen=0) + pcap_record(DATA), 1),
        "snaplen-2-gib": Shape(pcap_header(snaplen=0x7FFFFFFF) + pcap_record(DATA), 1),
        "snaplen-huge": Shape(pcap_header(snaplen=HUGE) + pcap_record(DATA), 1),
        **{f"cut-{size}": Shape(PCAP + pcap_record(DATA)[:size], 1, P) for size in range(1, 16 + len(DATA))},
    }


def _lengths() -> dict[str, Shape]:
    """Wrong lengths of blocks, of every kind of block that is read."""
    bodies = {
        "section": (SECTION, B.section()[8:-4]),
        "interface": (INTERFACE, B.interface()[8:-4]),
        "packet": (PACKET, B.packet(DATA)[8:-4]),
        "simple": (SIMPLE_PACKET, B.simple(DATA)[8:-4]),
        "unknown": (0xBAD, DATA),
    }
    sizes = (0, 1, 4, 8, 11, 12, 13, 16, 20, 24, 0x7FFFFFFC, 0xFFFFFFFC, HUGE)
    found = {}
    for name, (kind, body) in bodies.items():
        for size in sorted({*sizes} - {len(body) + 12}):
            found[f"{name}-length-{size:x}"] = Shape(NG + B.block(kind, body, size=size) + B.packet(DATA), 1, N)
        found[f"{name}-trailer"] = Shape(NG + B.block(kind, body, trailer=len(body)) + B.packet(DATA), 1, N)
        whole = B.block(kind, body)
        for size in range(1, len(whole)):
            found[f"{name}-cut-{size}"] = Shape(NG + whole[:size], 1, N)
    for kind in (SECTION, INTERFACE, PACKET, SIMPLE_PACKET):
        found[f"empty-{kind:x}"] = Shape(NG + B.block(kind, b"") + B.packet(DATA), 1, N)
    for kind in (SECTION, INTERFACE, PACKET):
        found[f"short-{kind:x}"] = Shape(NG + B.block(kind, bytes(4)) + B.packet(DATA), 1, N)
    found["empty-unknown"] = Shape(NG + B.block(0xBAD, b"") + B.packet(DATA), 2)
    return found


def _with(option: Option) -> bytes:
    """A packet of an interface with an option."""
    return B.section() + B.interface(options=[option]) + B.packet(DATA)


def _blocks() -> dict[str, Shape]:
    option = B.pack("HH", TSRESOL, 50)
    lying = B.block(PACKET, B.pack("IIIII", 0, 0, 0, 4, 4) + b"abcd" + B.pack("HH", 1, 500))
    return {
        "section-only": Shape(B.section(), 0),
        "section-mark": Shape(START[:8] + b"abcd" + START[12:], 0, 0),
        "section-version": Shape(B.section(major=2) + START, 0, 0),
        "section-minor": Shape(B.section(minor=2) + B.interface() + B.packet(DATA), 1),
        "section-length-lies": Shape(B.section(length=4) + B.interface() + B.packet(DATA), 1),
        "section-length-negative": Shape(B.section(length=-5) + B.interface() + B.packet(DATA), 1),
        "section-other-order": Shape(NG + BIG.section() + BIG.interface() + BIG.packet(DATA) + NG, 3),
        "section-forgets-interfaces": Shape(NG + B.section() + B.packet(DATA), 1, N + len(B.section())),
        "block-other-order": Shape(NG + BIG.packet(DATA), 1, N),
        "caplen-over-block": Shape(NG + B.packet(DATA, caplen=len(DATA) + 1), 1, N),
        "caplen-huge": Shape(NG + B.packet(DATA, caplen=HUGE), 1, N),
        "caplen-over-snaplen": Shape(B.section() + B.interface(snaplen=8) + B.packet(DATA), 1),
        "caplen-over-len": Shape(NG + B.packet(DATA, size=3) + B.packet(DATA), 3),
        "no-interface": Shape(B.section() + B.packet(DATA), 0, len(B.section())),
        "no-interface-simple": Shape(B.section() + B.simple(DATA), 0, len(B.section())),
        "no-interface-old": Shape(B.section() + B.old(DATA), 0, len(B.section())),
        "interface-1": Shape(NG + B.packet(DATA, number=1), 1, N),
        "interface-huge": Shape(NG + B.packet(DATA, number=HUGE), 1, N),
        "interface-huge-old": Shape(NG + B.old(DATA, number=0xFFFF), 1, N),
        "interface-cut-body": Shape(NG + B.block(INTERFACE, bytes(4)), 1, N),
        "option-too-long": Shape(B.section() + B.block(INTERFACE, bytes(8) + option), 0, len(B.section())),
        "option-cut": Shape(B.section() + B.block(INTERFACE, B.pack("HHI", 1, 0, 0) + b"\1\0\0\0") + B.packet(DATA), 1),
        "option-after-end": Shape(
            B.section() + B.interface(options=[(0, b""), (TSRESOL, b"\x09")]) + B.packet(DATA), 1
        ),
        "option-of-a-packet-too-long": Shape(START + lying + B.packet(DATA), 2),
        "options-without-end": Shape(
            B.section()
            + B.block(INTERFACE, B.pack("HHI", 1, 0, 0) + B.options([(2, b"eth0")], end=False))
            + B.packet(b""),
            1,
        ),
        "unknown-blocks": Shape(START + b"".join(B.block(kind, DATA) for kind in (0, 7, 0xBAD, 0x80000001)) + NG, 1),
        "statistics": Shape(NG + B.block(STATISTICS, B.pack("III", 0, 0, 0)), 1),
        "simple-snaplen": Shape(B.section() + B.interface(snaplen=8) + B.simple(DATA[:8], size=20), 1),
        "simple-len-over-block": Shape(START + B.simple(DATA, size=100), 0, len(START)),
        "simple-len-huge": Shape(START + B.simple(DATA, size=HUGE), 0, len(START)),
        "old": Shape(START + B.old(DATA, drops=7), 1),
        **{
            f"resolution-{value}": Shape(_with((TSRESOL, bytes([value]))), 1)
            for value in (0, 6, 9, 19, 20, 63, 64, 127, 128, 129, 191, 192, 255)
        },
        **{
            f"offset-{seconds:x}": Shape(_with((TSOFFSET, struct.pack("<q", seconds))), 1)
            for seconds in (0, -1, (1 << 63) - 1, -(1 << 63))
        },
        "offset-too-short": Shape(_with((TSOFFSET, bytes(4))), 1),
        "resolution-too-long": Shape(_with((TSRESOL, bytes(2))), 1),
        "trailing-zeros": Shape(NG + bytes(64), 1, N),
        "trailing-text": Shape(NG + b"the end, and nothing more\n", 1, N),
    }


SHAPES = {
    "empty": Shape(b"", 0, 0),
    "text": Shape(b"Hello, world, this is a text.", 0, 0),
    "zeros": Shape(bytes(64), 0, 0),
    **{f"pcap-{name}": shape for name, shape in _pcap().items()},
    **{f"pcapng-{name}": shape for name, shape in (_lengths() | _blocks()).items()},
}
