"""Where the packet inside a tunnel begins: the reference reading, in plain Python.

Known are IP in IP in all four combinations, GRE, VXLAN, Geneve and the user plane of GTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pfq.lang.packet import Ip

UDP: Final = 17
IP_IN_IP, IP6_IN_IP, GRE = 4, 41, 47
VXLAN_PORT, GENEVE_PORT, GTP_USER_PORT = 4789, 6081, 2152
UDP_BYTES: Final = 8

ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ETHERNET = 0x0800, 0x86DD, 0x6558

GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE = 0x8000, 0x4000, 0x2000, 0x1000
GRE_VERSION: Final = 0x0007
GRE_BYTES, VXLAN_BYTES, GENEVE_BYTES, GTP_BYTES = 4, 8, 8, 8
VXLAN_HAS_ID: Final = 0x08
GENEVE_VERSION, GENEVE_OPTION_WORDS = 0xC0, 0x3F
GTP_VERSION_AND_TYPE, GTP_VERSION_1 = 0xF0, 0x30
"""Version and protocol type in the first byte, and what they are in GTP version 1, not GTP'."""
GTP_PACKET: Final = 255
GTP_OPTIONAL, GTP_EXTENDED = 0x07, 0x04
GTP_OPTIONAL_BYTES: Final = 4
MAX_GTP_EXTENSIONS: Final = 4


def inside(window: bytes, ip: Ip) -> tuple[int, int] | None:
    """(EtherType, offset) of what the packet carries: IPv4, IPv6, or `ETHERTYPE_ETHERNET` for a whole frame."""
    if ip.l4 is None:
        return None
    match ip.proto:
        case 4:
            return ETHERTYPE_IP4, ip.l4
        case 41:
            return ETHERTYPE_IP6, ip.l4
        case 47:
            return _gre(window, ip.l4)
        case 17 if ip.l4 + UDP_BYTES <= len(window):
            port, at = _word(window, ip.l4 + 2), ip.l4 + UDP_BYTES
            tunnel = {VXLAN_PORT: _vxlan, GENEVE_PORT: _geneve, GTP_USER_PORT: _gtp}.get(port)
            return tunnel(window, at) if tunnel else None
    return None


def _word(window: bytes, at: int) -> int:
    return int.from_bytes(window[at : at + 2], "big")


def _gre(window: bytes, at: int) -> tuple[int, int] | None:
    if at + GRE_BYTES > len(window):
        return None
    flags, kind = _word(window, at), _word(window, at + 2)
    if flags & (GRE_ROUTING | GRE_VERSION) or kind not in (ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ETHERNET):
        return None
    options = sum(flags & bit != 0 for bit in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE))
    return kind, at + GRE_BYTES + 4 * options


def _vxlan(window: bytes, at: int) -> tuple[int, int] | None:
    if at + VXLAN_BYTES > len(window) or not window[at] & VXLAN_HAS_ID:
        return None
    return ETHERTYPE_ETHERNET, at + VXLAN_BYTES


def _geneve(window: bytes, at: int) -> tuple[int, int] | None:
    if at + GENEVE_BYTES > len(window) or window[at] & GENEVE_VERSION:
        return None
    kind = _word(window, at + 2)
    if kind not in (ETHERTYPE_IP4, ETHERTYPE_IP6, ETHERTYPE_ETHERNET):
        return None
    return kind, at + GENEVE_BYTES + 4 * (window[at] & GENEVE_OPTION_WORDS)


def _gtp(window: bytes, at: int) -> tuple[int, int] | None:
    """The user's packet of a G-PDU. Its version is in its first byte."""
    if at + GTP_BYTES > len(window):
        return None
    flags = window[at]
    if flags & GTP_VERSION_AND_TYPE != GTP_VERSION_1 or window[at + 1] != GTP_PACKET:
        return None
    at += GTP_BYTES
    if flags & GTP_OPTIONAL:
        if at + GTP_OPTIONAL_BYTES > len(window):
            return None
        following = window[at + 3] if flags & GTP_EXTENDED else 0
        at += GTP_OPTIONAL_BYTES
        for _ in range(MAX_GTP_EXTENSIONS):
            if not following:
                break
            size = 4 * window[at] if at < len(window) else 0
            if size == 0 or at + size > len(window):
                return None
            following, at = window[at + size - 1], at + size
        if following:
            return None
    if at >= len(window):
        return None
    kind = {4: ETHERTYPE_IP4, 6: ETHERTYPE_IP6}.get(window[at] >> 4)
    return None if kind is None else (kind, at)
