"""Shapes of headers that real traffic seldom has (catalogue row M1), by what they are."""

from __future__ import annotations

import struct
from functools import cache

from support.frames import ADDRESSES4, ADDRESSES6, ethernet, extended, geneve, gre, gtp, ip4, ip6, tcp, udp, vxlan

IP4, IP6, ARP, MPLS, QTAG, STAG = 0x0800, 0x86DD, 0x0806, 0x8847, 0x8100, 0x88A8
ICMP = b"\x03\x01\0\0\0\0\0\0"


@cache
def shapes() -> dict[str, bytes]:
    """Whole frames, none of them cut."""
    found = dict(_ethernet())
    found |= _ip4()
    found |= _ip6()
    found |= _transport()
    found |= _tunnels()
    return found


def _ethernet() -> dict[str, bytes]:
    packet = ip4(tcp())
    found = {f"{depth} tags": ethernet(packet, IP4, [(QTAG, 5 + depth)] * depth) for depth in range(1, 5)}
    found |= {
        "no payload": ethernet(b"", IP4),
        "64 bytes 802.1Q": ethernet(ip4(udp(), 17), IP4, [(QTAG, 6)]).ljust(64, b"\0"),
        "802.1ad and 802.1Q": ethernet(packet, IP4, [(STAG, 9), (QTAG, 0)]),
        "priority tag": ethernet(packet, IP4, [(QTAG, 0xE000)]),
        "tag and nothing": ethernet(b"", QTAG),
        "tag in a tag's place": ethernet(b"\0\0\x81\0", QTAG),
        "length instead of a type": ethernet(b"\xaa\xaa\x03\0\0\0\x08\0" + packet, 48),
        "LLC": ethernet(b"\x42\x42\x03" + bytes(35), 38),
        "type 1535": ethernet(packet, 1535),
        "ARP": ethernet(struct.pack(">HHBBH", 1, IP4, 6, 4, 1) + bytes(20), ARP),
        "ARP short": ethernet(b"\0\1\x08\0", ARP),
        "MPLS 8 deep": ethernet(b"\0\0\x10\x40" * 7 + b"\0\0\x11\x40" + packet, MPLS),
    }
    return found


def _ip4() -> dict[str, bytes]:
    shapes: dict[str, bytes] = {f"IPv4 first byte {first:#x}": ip4(tcp(), version_ihl=first) for first in (
        0x40, 0x41, 0x42, 0x43, 0x44, 0x4F, 0x55, 0x65, 0x05)}  # fmt: skip
    whole = ip4(tcp())
    shapes |= {f"IPv4 total length {size}": whole[:2] + struct.pack(">H", size) + whole[4:]
               for size in (0, 19, 20, 39, 41, 65535)}  # fmt: skip
    shapes |= {f"IPv4 fragment {parts:#06x}": ip4(tcp(), parts=parts)
               for parts in (0x2000, 0x2001, 0x0001, 0x1FFF, 0x3FFF, 0x4000, 0x8000, 0x6000)}  # fmt: skip
    shapes |= {
        "IPv4 options 40": ip4(udp(), 17, options=b"\1" * 40),
        "IPv4 options with bad lengths": ip4(udp(), 17, options=b"\x07\0\x44\xff" + b"\x83\x01\x82\x00" * 9),
        "IPv4 tiny first fragment": ip4(tcp()[:8], parts=0x2000),
        "IPv4 limited broadcast": ip4(udp(68, 67), 17, dst=ADDRESSES4[3]),
        "IPv4 multicast": ip4(udp(5353, 5353), 17, dst=bytes((224, 0, 0, 251))),
        "IPv4 from and to one address": ip4(tcp(80, 80), src=ADDRESSES4[0], dst=ADDRESSES4[0]),
    }
    return {name: ethernet(packet, IP4) for name, packet in shapes.items()}


def _ip6() -> dict[str, bytes]:
    chains = {
        "hop-by-hop": [(0, 0, 0)],
        "hop-by-hop twice": [(0, 0, 0), (0, 0, 0)],
        "all extensions": [(0, 0, 0), (60, 0, 0), (43, 2, 0), (44, 0, 0), (51, 4, 0), (135, 1, 0)],
        "routing 0": [(43, 0, 0)],
        "routing 2 words": [(43, 2, 0)],
        "authentication of length 0": [(51, 0, 0)],
        "authentication": [(51, 4, 0), (60, 1, 0)],
        "atomic fragment": [(44, 0, 0)],
        "first fragment": [(44, 0, 1)],
        "later fragment": [(44, 0, 8)],
        "last fragment": [(44, 0, 0xFFF8)],
        "fragment of a fragment": [(44, 0, 1), (44, 0, 9)],
        "extension past the end": [(60, 255, 0)],
        **{f"{count} extensions": [(60, 0, 0)] * count for count in range(2, 17)},
    }
    found = {}
    for name, chain in chains.items():
        first, payload = extended(chain, 6, tcp())
        found[f"IPv6 {name}"] = ip6(payload, first)
    whole = ip6(tcp())
    found |= {f"IPv6 payload length {size}": whole[:4] + struct.pack(">H", size) + whole[6:] for size in (0, 8, 65535)}
    found |= {
        "IPv6 no next header": ip6(b"", 59),
        "IPv6 jumbogram": ip6(*reversed(extended([(0, 0, 0)], 17, udp()))),
        "IPv6 multicast": ip6(udp(5353, 5353), 17, dst=ADDRESSES6[2]),
        "IPv6 version 4": b"\x40" + whole[1:],
        "ICMP over IPv6": ip6(ICMP, 1),
        "ICMPv6": ip6(b"\x87\0" + bytes(22), 58),
    }
    return {name: ethernet(packet, IP6) for name, packet in found.items()}


def _transport() -> dict[str, bytes]:
    head = tcp()
    found = {f"TCP offset {words}": ip4(head[:12] + bytes([words << 4]) + head[13:]) for words in (0, 1, 4, 5, 6, 15)}
    found |= {f"TCP flags {flags:#04x}": ip4(tcp(flags=flags)) for flags in (0, 0x02, 0x12, 0x11, 0x04, 0x29, 0xFF)}
    found |= {f"UDP length {size}": ip4(udp()[:4] + struct.pack(">HH", size, 0), 17) for size in (0, 7, 8, 9, 65535)}
    found |= {
        "ICMP with a truncated packet inside": ip4(ICMP + ip4(tcp())[:24], 1),
        "ICMP of 7 bytes": ip4(ICMP[:7], 1),
        "TCP port 0": ip4(tcp(0, 0)),
        "SIP": ip4(udp(5060, 5060, b"INVITE"), 17),
        "RTP": ip4(udp(4000, 5000, b"\x80\x00" + bytes(10)), 17),
        "RTCP": ip4(udp(4001, 5001, b"\x80\xc8" + bytes(10)), 17),
        "GTP control plane": ip4(udp(2123, 2123, b"\x48\x20" + bytes(10)), 17),
    }
    return {name: ethernet(packet, IP4) for name, packet in found.items()}


def _tunnels() -> dict[str, bytes]:
    inner4, inner6 = ip4(tcp(443, 4000)), ip6(udp(53, 4001), 17)
    found = {
        "IPIP": ip4(inner4, 4),
        "6in4": ip4(inner6, 41),
        "IPIP that holds IPv6": ip4(inner6, 4),
        "IPIP first fragment": ip4(inner4, 4, parts=0x2000),
        "GRE": ip4(gre(inner4, IP4), 47),
        "GRE with key and sequence": ip4(gre(inner6, IP6, 0x3000), 47),
        "GRE with everything": ip4(gre(inner6, IP6, 0xB000), 47),
        "GRE with routing": ip4(gre(inner4, IP4, 0x4000), 47),
        "GRE version 1": ip4(gre(inner4, 0x880B, 0x2001), 47),
        "GRE with a frame": ip4(gre(ethernet(inner4, IP4, [(QTAG, 5)]), 0x6558, 0x2000), 47),
        "VXLAN": ip4(udp(9, 4789, vxlan(ethernet(inner4, IP4))), 17),
        "VXLAN without its flag": ip4(udp(9, 4789, vxlan(ethernet(inner4, IP4), 0)), 17),
        "Geneve with options": ip4(udp(9, 6081, geneve(ethernet(inner6, IP6), 0x6558, 7)), 17),
        "Geneve with IPv4": ip4(udp(9, 6081, geneve(inner4, IP4)), 17),
        "GTP user plane": ip4(udp(2152, 2152, gtp(inner4)), 17),
        "GTP with sequence": ip4(udp(2152, 2152, gtp(inner6, 0x32)), 17),
        "GTP with extensions": ip4(udp(2152, 2152, gtp(inner4, 0x34, extensions=(1, 2))), 17),
        "GTP with five extensions": ip4(udp(2152, 2152, gtp(inner4, 0x34, extensions=(1, 1, 1, 1, 1))), 17),
        "GTP with an empty extension": ip4(udp(2152, 2152, gtp(inner4, 0x34, extensions=(0,))), 17),
        "GTP echo": ip4(udp(2152, 2152, gtp(b"", 0x32, 1)), 17),
    }
    nested, self_vxlan, self_gre = inner4, inner4, inner4
    for _ in range(8):
        nested = ip4(nested, 4)
        self_gre = ip4(gre(self_gre, IP4), 47)
        self_vxlan = ip4(udp(9, 4789, vxlan(ethernet(self_vxlan, IP4))), 17)
    found |= {"IPIP 8 deep": nested, "GRE 8 deep": self_gre, "VXLAN 8 deep": self_vxlan}
    found6 = {
        "4in6": ip6(inner4, 4),
        "6in6": ip6(inner6, 41),
        "GRE over IPv6": ip6(gre(inner4, IP4), 47),
        "VXLAN over IPv6": ip6(udp(9, 4789, vxlan(ethernet(inner6, IP6))), 17),
    }
    return {name: ethernet(packet, IP4) for name, packet in found.items()} | {
        name: ethernet(packet, IP6) for name, packet in found6.items()
    }
