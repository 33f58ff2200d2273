"""Frames of the kinds that programs meet."""

from __future__ import annotations

import struct
from ipaddress import ip_address

MACS = bytes.fromhex("020000000001020000000002")
IP4, IP6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
TCP, UDP, GRE = 6, 17, 47
VXLAN_PORT = 4789
PAYLOAD = bytes(26)


def ethernet(payload: bytes, ethertype: int, tag: int | None = None) -> bytes:
    """A frame of at least 60 bytes, in a VLAN or in none."""
    tagged = b"" if tag is None else struct.pack(">HH", VLAN, tag)
    return (MACS + tagged + struct.pack(">H", ethertype) + payload).ljust(60, b"\0")


def ip(payload: bytes, proto: int, source: str = "10.0.0.1", destination: str = "192.0.2.1") -> tuple[bytes, int]:
    """A packet between two addresses of either version, and its EtherType."""
    ends = b"".join(ip_address(address).packed for address in (source, destination))
    if len(ends) == 8:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, proto, 0) + ends + payload, IP4
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 64) + ends + payload, IP6


def tcp(source: int, destination: int) -> bytes:
    return struct.pack(">HHIIBBHHH", source, destination, 1, 2, 5 << 4, 0x10, 512, 0, 0) + PAYLOAD


def udp(source: int, destination: int, payload: bytes = PAYLOAD) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def vxlan(frame: bytes) -> bytes:
    """A frame inside a UDP datagram."""
    return udp(49152, VXLAN_PORT, bytes.fromhex("0800000000000700") + frame)


def gre(packet: tuple[bytes, int]) -> bytes:
    payload, kind = packet
    return struct.pack(">HH", 0, kind) + payload


A6, B6 = "2001:db8::1", "2001:db8:1::2"

WEB = ethernet(*ip(tcp(40000, 443), TCP))
WEB6 = ethernet(*ip(tcp(40000, 443), TCP, A6, B6))
PLAIN_WEB = ethernet(*ip(tcp(40000, 80), TCP))
TAGGED = ethernet(*ip(tcp(443, 40000), TCP, "192.0.2.1", "10.0.0.1"), tag=100)
DNS = ethernet(*ip(udp(40000, 53), UDP))
DNS6 = ethernet(*ip(udp(40000, 53), UDP, A6, B6))
WHO_HAS = ethernet(bytes.fromhex("0001080006040001") + bytes(20), ARP)

MIX = ((4, WEB), (2, PLAIN_WEB), (1, TAGGED), (2, DNS), (2, WEB6), (1, DNS6), (1, WHO_HAS))
"""How often each comes in 13 packets of an ordinary link."""
