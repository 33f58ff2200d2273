"""Ethernet II, 802.1Q and 802.1ad tags; LLC frames go on in `llc`."""

from __future__ import annotations

from .line import ETHERTYPES, Line, number
from .llc import llc
from .numbers import ETHERTYPE_NAMES
from .text import hex_ascii_dump, mac

HEADER_BYTES, TAG_BYTES = 14, 4
MAX_LLC_LENGTH = 1500
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)


def ethernet(line: Line, frame: bytes, length: int) -> int:
    """Writes a frame; returns the bytes of its link-level header, tags and LLC included."""
    line.enter("ether")
    if min(len(frame), length) < HEADER_BYTES:
        line.add(" [|ether]")
        return min(len(frame), length)
    if line.style.link:
        line.add(addresses_and_type(line, frame, length))
    line.note("eth_src", mac(frame[6:12]))
    line.note("eth_dst", mac(frame[:6]))
    offset, kind = HEADER_BYTES, number(frame, 12, 2)
    while kind in TAGS:
        if min(len(frame), length) < offset + TAG_BYTES:
            line.add(" [|vlan]")
            return min(len(frame), length)
        kind = tag(line, frame, offset)
        offset += TAG_BYTES
    line.note("ethertype", kind)
    data, rest = frame[offset:], length - offset
    if kind <= MAX_LLC_LENGTH:
        return offset + llc(line, data[:kind], min(rest, kind), mac(frame[6:12]), mac(frame[:6]))
    if layer := ETHERTYPES.get(kind):
        layer(line, data, rest)
        return offset
    if not line.style.link:
        line.add(addresses_and_type(line, frame, length, kind))
    if line.style.dump:
        line.add(hex_ascii_dump(data))
    return offset


def addresses_and_type(line: Line, frame: bytes, length: int, kind: int | None = None) -> str:
    """`source > destination, type, length N: `."""
    kind = number(frame, 12, 2) if kind is None else kind
    head = f"{mac(frame[6:12])} > {mac(frame[:6])}, "
    if kind <= MAX_LLC_LENGTH:
        return f"{head}802.3, length {kind}: "
    if line.style.quiet:
        return f"{head}{short_type(kind, 'Unknown Ethertype (0x{:04x})')}, length {length}: "
    return f"{head}ethertype {ETHERTYPE_NAMES.get(kind, 'Unknown')} (0x{kind:04x}), length {length}: "


def short_type(kind: int, unknown: str) -> str:
    return ETHERTYPE_NAMES.get(kind) or unknown.format(kind)


def tag(line: Line, frame: bytes, offset: int) -> int:
    """Writes a VLAN tag and returns the type that follows it."""
    tci, kind = number(frame, offset, 2), number(frame, offset + 2, 2)
    line.note("vlan", tci & 0xFFF)
    if line.style.link:
        drop_eligible = ", DEI" if tci & 0x1000 else ""
        line.add(f"vlan {tci & 0xFFF}, p {tci >> 13}{drop_eligible}, {type_after_tag(line, kind)}")
    return kind


def type_after_tag(line: Line, kind: int) -> str:
    if kind <= MAX_LLC_LENGTH:
        return "802.3"
    if line.style.quiet:
        return short_type(kind, "Unknown Ethertype (0x{:04x})") + ", "
    return f"ethertype {ETHERTYPE_NAMES.get(kind, 'Unknown')} (0x{kind:04x}), "
