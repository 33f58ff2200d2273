"""What a capture file says of its interfaces, and of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from pfq._libpfq import ffi

_COMMENT: Final = 1
_IF_NAME, _IF_DESCRIPTION, _IF_FILTER, _IF_OS, _IF_HARDWARE = 2, 3, 11, 12, 15
_SHB_HARDWARE, _SHB_OS, _SHB_APPLICATION = 2, 3, 4
_UNTOLD: Final = (1 << 64) - 1

Options = dict[int, list[bytes]]


@dataclass(frozen=True, slots=True)
class Interface:
    """Where packets were captured; `pcap` knows one without a name.

    number       as in the records, from 0, running on over the sections of a file
    link_type    what the packets begin with, a LINKTYPE number; 1 is Ethernet
    snaplen      bytes captured of a packet at most, 0: no limit
    resolution   units per second of the times in the file; those of records are always ns
    filter       the capture filter, as a text
    """

    number: int
    link_type: int
    snaplen: int = 0
    name: str = ""
    description: str = ""
    comment: str = ""
    filter: str = ""
    os: str = ""
    hardware: str = ""
    resolution: int = 1_000_000


@dataclass(frozen=True, slots=True)
class InterfaceStatistics:
    """Packets counted by whoever captured, None where it did not tell.

    received    by the interface
    dropped     by the interface, for want of resources
    accepted    by the capture filter
    os_dropped  by the operating system
    delivered   to the program that wrote the file
    """

    received: int | None
    dropped: int | None
    accepted: int | None
    os_dropped: int | None
    delivered: int | None


@dataclass(frozen=True, slots=True)
class Section:
    """What the first section of a pcapng file says of itself."""

    comment: str = ""
    hardware: str = ""
    os: str = ""
    application: str = ""


def interface_of(number: int, told: Any) -> Interface:
    """From libpfq's `struct pfq_interface`."""
    options = _options(told)
    (filter_,) = options.get(_IF_FILTER, [b""])[:1]
    base = 2 if told.resolution & 0x80 else 10
    return Interface(
        number=number,
        link_type=told.link_type,
        snaplen=told.snaplen,
        name=_text(options, _IF_NAME),
        description=_text(options, _IF_DESCRIPTION),
        comment=_text(options, _COMMENT),
        filter=_decoded(filter_[1:]) if filter_[:1] == b"\0" else "",  # 1: as bytecode
        os=_text(options, _IF_OS),
        hardware=_text(options, _IF_HARDWARE),
        resolution=base ** (told.resolution & 0x7F),
    )


def statistics_of(told: Any) -> InterfaceStatistics | None:
    """From libpfq's `struct pfq_interface`; None when the file has no statistics of it."""
    counters = (told.received, told.dropped, told.accepted, told.os_dropped, told.delivered)
    known = [None if counter == _UNTOLD else counter for counter in counters]
    return InterfaceStatistics(*known) if any(counter is not None for counter in known) else None


def section_of(info: Any) -> Section:
    """From libpfq's `struct pfq_file_info`."""
    options = _options(info)
    texts = (_text(options, code) for code in (_COMMENT, _SHB_HARDWARE, _SHB_OS, _SHB_APPLICATION))
    return Section(*texts)


def _options(told: Any) -> Options:
    """The options that libpfq kept of a block, which it has checked."""
    found: Options = {}
    data = bytes(ffi.buffer(told.options, told.options_bytes)) if told.options_bytes else b""
    order: Literal["big", "little"] = "big" if told.big_endian else "little"
    at = 0
    while at + 4 <= len(data) and (code := int.from_bytes(data[at : at + 2], order)):
        size = int.from_bytes(data[at + 2 : at + 4], order)
        found.setdefault(code, []).append(data[at + 4 : at + 4 + size])
        at += 4 + (size + 3 & ~3)
    return found


def _text(options: Options, code: int) -> str:
    return "\n".join(map(_decoded, options.get(code, ())))


def _decoded(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
