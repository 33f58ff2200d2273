"""The heads and ends of capture files: blocks of pcapng, and the header of classic pcap."""

from __future__ import annotations

import platform
import struct
from dataclasses import astuple
from importlib.metadata import version
from typing import Final

from pfq.files.interface import Interface, InterfaceStatistics

# Blocks and options of pcapng (draft-ietf-opsawg-pcapng); option 0 ends a list.
PACKET: Final = 6
_SECTION, _INTERFACE, _STATISTICS = 0x0A0D0D0A, 1, 5
_COMMENT = 1
_SHB_OS, _SHB_USERAPPL = 3, 4
_IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _IF_FILTER, _IF_OS, _IF_HARDWARE = 2, 3, 9, 11, 12, 15
_ISB_START, _ISB_END = 2, 3
_ISB_COUNTS = (4, 5, 6, 7, 8)  # in the order of InterfaceStatistics
_NANOSECONDS = b"\x09"
_FILTER_TEXT = b"\0"
_LONGEST_TEXT = 0xFFFE  # of the 65,535 bytes of an option, one is for the kind of a filter

_PCAP_MAGIC = {1000: 0xA1B2C3D4, 1: 0xA1B23C4D}


def section(comment: str) -> bytes:
    """The block that begins a file; `comment` may be empty."""
    magic, major, minor, unknown_size = 0x1A2B3C4D, 1, 0, -1
    fixed = struct.pack("<IHHq", magic, major, minor, unknown_size)
    options = [(_COMMENT, text(comment)), (_SHB_OS, text(system())), (_SHB_USERAPPL, text(f"pfq {version('pfq')}"))]
    return _block(_SECTION, fixed + _options(*options))


def interface(described: Interface) -> bytes:
    """The block that declares an interface; the times of its packets are in ns."""
    fixed = struct.pack("<HHI", described.link_type, 0, described.snaplen)
    options = [
        (_COMMENT, text(described.comment)),
        (_IF_NAME, text(described.name)),
        (_IF_DESCRIPTION, text(described.description)),
        (_IF_TSRESOL, _NANOSECONDS),
        (_IF_FILTER, _FILTER_TEXT + text(described.filter) if described.filter else b""),
        (_IF_OS, text(described.os)),
        (_IF_HARDWARE, text(described.hardware)),
    ]
    return _block(_INTERFACE, fixed + _options(*options))


def statistics(number: int, counted: InterfaceStatistics, began_ns: int | None, ended_ns: int) -> bytes:
    """The block with the counts of interface `number`, and between which times they were made."""
    counts = zip(_ISB_COUNTS, astuple(counted), strict=True)
    options = [
        (_ISB_START, b"" if began_ns is None else _timestamp(began_ns)),
        (_ISB_END, b"" if began_ns is None else _timestamp(ended_ns)),
        *((code, struct.pack("<Q", packets)) for code, packets in counts if packets is not None),
    ]
    return _block(_STATISTICS, struct.pack("<I", number) + _timestamp(ended_ns) + _options(*options))


def pcap_header(unit_ns: int, snaplen: int, link_type: int) -> bytes:
    """The header of classic pcap, for times in units of 1000 or 1 ns."""
    major, minor, zone, accuracy = 2, 4, 0, 0
    return struct.pack("<IHHiIII", _PCAP_MAGIC[unit_ns], major, minor, zone, accuracy, snaplen, link_type)


def text(value: str) -> bytes:
    """A text as the value of an option, cut where it is too long."""
    encoded = value.encode(errors="replace")[:_LONGEST_TEXT]
    return encoded.decode(errors="ignore").encode()  # not half a character at the end


def system() -> str:
    """The operating system and its version."""
    return f"{platform.system()} {platform.release()}"


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    """The options that have a value, and the end of the list."""
    listed = b"".join(
        struct.pack("<HH", code, len(data)) + data + bytes(-len(data) % 4) for code, data in options if data
    )
    return listed + bytes(4)


def _timestamp(ns: int) -> bytes:
    return struct.pack("<II", ns >> 32, ns & 0xFFFFFFFF)
