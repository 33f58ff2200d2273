"""Where the headers of a frame are: the reference reading, in plain Python.

Headers are looked for in the first `HEADER_WINDOW` bytes of the frame. A header counts only when
all of it lies in there; what is cut off is absent, never read as something else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pfq.lang.tunnels import ETHERTYPE_ETHERNET, inside

HEADER_WINDOW: Final = 512
MACS_BYTES: Final = 12
ETHERNET_BYTES: Final = 14
TAG_BYTES: Final = 4
MAX_TAGS: Final = 2
VLAN_TYPES: Final = (0x8100, 0x88A8)
ETHERTYPE_IP4: Final = 0x0800
ETHERTYPE_IP6: Final = 0x86DD

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58

FRAGMENT, AH = 44, 51
EXTENSIONS: Final = (0, 43, FRAGMENT, AH, 60, 135)
"""IPv6 extension headers that are walked: hop-by-hop, routing, fragment, AH, destination, mobility."""
MAX_EXTENSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Tag:
    """A VLAN tag that the device took off the frame: its EtherType and its control information."""

    ethertype: int
    tci: int


@dataclass(frozen=True, slots=True)
class Ip:
    """A whole IPv4 or IPv6 header.

    at        its offset in the window
    proto     protocol behind all extension headers; None when they cannot be followed
    l4        offset of the layer 4 header; None in a later fragment and where proto is None
    fragment  part of a datagram, first part included
    """

    version: int
    at: int
    header: bytes
    src: bytes
    dst: bytes
    proto: int | None
    l4: int | None
    fragment: bool

    @property
    def later(self) -> bool:
        """A fragment behind the first, in which no layer 4 header begins."""
        return self.proto is not None and self.l4 is None

    @property
    def length(self) -> int:
        """Bytes of the packet, by its own word, from this header on."""
        return number(self.header[2:4]) if self.version == 4 else len(self.header) + number(self.header[4:6])


@dataclass(frozen=True)
class Headers:
    """The IP header of one level of a frame, and what follows it: level 0 is the outermost packet."""

    window: bytes
    ip: Ip | None

    def ip_of(self, version: int) -> Ip | None:
        """The IP header when it is of that version."""
        return self.ip if self.ip is not None and self.ip.version == version else None

    def l4(self, size: int) -> bytes | None:
        """Layer 4 from its header on, when at least `size` bytes of it are there."""
        if self.ip is None or self.ip.l4 is None:
            return None
        data = self.window[self.ip.l4 :]
        return data if len(data) >= size else None

    def transport(self, proto: int, size: int) -> bytes | None:
        """Layer 4 when it is a whole header of this protocol."""
        return self.l4(size) if self.ip is not None and self.ip.proto == proto else None

    @property
    def tcp(self) -> bytes | None:
        return self.transport(TCP, 20)

    @property
    def udp(self) -> bytes | None:
        return self.transport(UDP, 8)

    @property
    def icmp(self) -> bytes | None:
        if self.ip is None:
            return None
        return self.transport(ICMP if self.ip.version == 4 else ICMP6, 8)

    @property
    def flow(self) -> bytes | None:
        """The whole TCP or UDP header, which begins with the two ports."""
        return self.tcp or self.udp

    def inner(self) -> Headers:
        """The level below: what the tunnel carries that this packet is."""
        found = None if self.ip is None else inside(self.window, self.ip)
        if found is None:
            return Headers(self.window, None)
        kind, at = found
        what = network(self.window, at, MAX_TAGS) if kind == ETHERTYPE_ETHERNET else found
        return Headers(self.window, read_ip(self.window, *what))


@dataclass(frozen=True)
class Packet:
    """One frame as a program sees it.

    frame   the bytes, from the destination MAC address on
    tag     the outer VLAN tag when the device has taken it off
    sent    bytes on the wire, with the tag, when more than are there
    """

    frame: bytes
    tag: Tag | None = None
    sent: int | None = None

    @cached_property
    def window(self) -> bytes:
        return self.frame[:HEADER_WINDOW]

    @property
    def length(self) -> int:
        """Bytes on the wire, with the tag."""
        if self.sent is not None:
            return self.sent
        return len(self.frame) + (TAG_BYTES if self.tag is not None else 0)

    @cached_property
    def _network(self) -> tuple[int | None, int]:
        return network(self.window, 0, MAX_TAGS - (self.tag is not None))

    @property
    def ethertype(self) -> int | None:
        """The EtherType behind at most two VLAN tags; None when it is cut off."""
        return self._network[0]

    @cached_property
    def outer_tag(self) -> Tag | None:
        """The outer VLAN tag, from the device or from the frame."""
        if self.tag is not None:
            return self.tag
        if len(self.window) < ETHERNET_BYTES + 2:
            return None
        ethertype = number(self.window[ETHERNET_BYTES - 2 : ETHERNET_BYTES])
        tci = number(self.window[ETHERNET_BYTES : ETHERNET_BYTES + 2])
        return Tag(ethertype, tci) if ethertype in VLAN_TYPES else None

    def wire(self, offset: int, size: int) -> bytes | None:
        """Bytes of the frame as it was on the wire, with the tag in its place; None when they are not all there."""
        window = self.wire_window
        return window[offset : offset + size] if offset + size <= len(window) else None

    @cached_property
    def wire_window(self) -> bytes:
        """The window of the frame as it was on the wire."""
        return self.wire_frame[:HEADER_WINDOW]

    @cached_property
    def wire_frame(self) -> bytes:
        """The frame as it was on the wire; empty when the tag has no place because the MACs are cut."""
        if self.tag is None:
            return self.frame
        if len(self.frame) < MACS_BYTES:
            return b""
        put_back = struct.pack(">HH", self.tag.ethertype, self.tag.tci)
        return self.frame[:MACS_BYTES] + put_back + self.frame[MACS_BYTES:]

    @cached_property
    def levels(self) -> list[Headers]:
        return [Headers(self.window, read_ip(self.window, *self._network))]

    def level(self, depth: int) -> Headers:
        """The headers of a level; 0 is the outermost."""
        while len(self.levels) <= depth:
            self.levels.append(self.levels[-1].inner())
        return self.levels[depth]


def number(data: bytes) -> int:
    """Bytes in network order as a number."""
    return int.from_bytes(data, "big")


def network(window: bytes, at: int, tags: int) -> tuple[int | None, int]:
    """(EtherType behind at most `tags` VLAN tags, offset of what follows it) of the Ethernet frame at an offset."""
    offset = at + ETHERNET_BYTES
    if len(window) < offset:
        return None, offset
    ethertype = number(window[offset - 2 : offset])
    for _ in range(tags):
        if ethertype not in VLAN_TYPES:
            break
        offset += TAG_BYTES
        if len(window) < offset:
            return None, offset
        ethertype = number(window[offset - 2 : offset])
    return ethertype, offset


def read_ip(window: bytes, ethertype: int | None, at: int) -> Ip | None:
    """The IP header of an EtherType at an offset."""
    match ethertype:
        case 0x0800:
            return read_ip4(window, at)
        case 0x86DD:
            return read_ip6(window, at)
        case _:
            return None


def read_ip4(window: bytes, at: int) -> Ip | None:
    """The IPv4 header at an offset; None when it is no such header or not all there."""
    fixed = window[at : at + 20]
    if len(fixed) < 20 or fixed[0] >> 4 != 4:
        return None
    size = (fixed[0] & 15) * 4
    if size < 20 or len(window) < at + size:
        return None
    flags_offset = number(fixed[6:8])
    later = flags_offset & 0x1FFF != 0
    return Ip(
        version=4,
        at=at,
        header=window[at : at + size],
        src=fixed[12:16],
        dst=fixed[16:20],
        proto=fixed[9],
        l4=None if later else at + size,
        fragment=flags_offset & 0x3FFF != 0,
    )


def read_ip6(window: bytes, at: int) -> Ip | None:
    """The IPv6 header at an offset with its extension headers; None when it is no such header."""
    header = window[at : at + 40]
    if len(header) < 40 or header[0] >> 4 != 6:
        return None
    proto, l4, fragment = walk_extensions(window, header[6], at + 40)
    return Ip(6, at, header, header[8:24], header[24:40], proto, l4, fragment)


def walk_extensions(window: bytes, proto: int, at: int) -> tuple[int | None, int | None, bool]:
    """(protocol behind the extension headers, its offset, is a fragment)."""
    fragment = False
    for _ in range(MAX_EXTENSIONS):
        if proto not in EXTENSIONS:
            return proto, at, fragment
        head = window[at : at + 8]
        if len(head) < 8:
            return None, None, fragment
        if proto == FRAGMENT:
            offset_more = number(head[2:4])
            fragment = fragment or offset_more & 0xFFF9 != 0
            if offset_more & 0xFFF8:
                return head[0], None, fragment
            at += 8
        elif proto == AH:
            at += (head[1] + 2) * 4
        else:
            at += (head[1] + 1) * 8
        proto = head[0]
    return (None, None, fragment) if proto in EXTENSIONS else (proto, at, fragment)
