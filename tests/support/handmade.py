"""Frames made by hand, each for one thing that a header can be; tests name those that a predicate accepts."""

from __future__ import annotations

from typing import Any

from pfq.lang.action import Action
from pfq.lang.compile import compile_text
from pfq.lang.interp import BOTH_SIDES, Machine, World, decide
from pfq.lang.packet import Packet, Tag
from pfq.lang.prims import PRIMS
from pfq.lang.program import Value
from support.frames import ADDRESSES4, ethernet, extended, ip4, ip6, tcp, udp

IP4, IP6, ARP = 0x0800, 0x86DD, 0x0806
QTAG, STAG = 0x8100, 0x88A8
ICMP = b"\x08\0\0\0\0\1\0\1"
LIMITED_BROADCAST = ADDRESSES4[3]


def v4(payload: bytes, proto: int = 6, *, tags: list[tuple[int, int]] | None = None, **header: object) -> bytes:
    """A frame with an IPv4 packet."""
    return ethernet(ip4(payload, proto, **header), IP4, tags)  # type: ignore[arg-type]


def v6(payload: bytes, proto: int = 6, *, chain: list[tuple[int, int, int]] | None = None, **header: bytes) -> bytes:
    """A frame with an IPv6 packet, with a chain of extension headers: (kind, length byte, fragment word)."""
    first, whole = extended(chain or [], proto, payload)
    return ethernet(ip6(whole, first, **header), IP6)


def with_macs(frame: bytes, dst: str, src: str) -> bytes:
    """The frame with other MAC addresses, in hexadecimal."""
    return bytes.fromhex(dst) + bytes.fromhex(src) + frame[12:]


FRAMES: dict[str, bytes] = {
    "nothing": b"",
    "runt": bytes(10),
    "ethernet alone": ethernet(b"", IP4),
    "arp": ethernet(bytes(28), ARP),
    "llc": ethernet(b"\xaa\xaa\x03" + bytes(40), 43),
    # IPv4
    "tcp4": v4(tcp()),
    "tcp4 port 443": v4(tcp(443, 2000)),
    "tcp4 19 bytes": v4(tcp()[:19]),
    "tcp4 7 bytes": v4(tcp()[:7]),
    "tcp4 ttl 5": v4(tcp(), ttl=5),
    "tcp4 options": v4(tcp(), options=b"\1" * 40),
    "tcp4 options cut": v4(b"", version_ihl=0x4F) + bytes(39),
    "tcp4 do not fragment": v4(tcp(), parts=0x4000),
    "tcp4 first fragment": v4(tcp(), parts=0x2000),
    "tcp4 later fragment": v4(tcp(), parts=0x2001),
    "tcp4 last fragment": v4(tcp(), parts=0x0001),
    "udp4": v4(udp(), 17),
    "udp4 7 bytes": v4(udp()[:7], 17),
    "udp4 limited broadcast": v4(udp(68, 67), 17, dst=LIMITED_BROADCAST),
    "icmp4": v4(ICMP, 1),
    "icmp4 7 bytes": v4(ICMP[:7], 1),
    "icmp6 over ip4": v4(ICMP, 58),
    "gre4": v4(bytes(20), 47),
    "ip4 19 bytes": v4(b"")[:-1],
    "ip4 version 5": v4(tcp(), version_ihl=0x55),
    "ip4 header of 16 bytes": v4(tcp(), version_ihl=0x44),
    "ip4 type with ip6": ethernet(ip6(tcp()), IP4),
    # IPv6
    "tcp6": v6(tcp()),
    "udp6": v6(udp(), 17),
    "icmp6": v6(ICMP, 58),
    "icmp4 over ip6": v6(ICMP, 1),
    "ip6 39 bytes": v6(b"")[:-1],
    "ip6 version 4": ethernet(ip4(tcp(), options=b"\1" * 20), IP6),
    "ip6 no next header": v6(b"", 59),
    "tcp6 three extensions": v6(tcp(), chain=[(0, 0, 0), (43, 1, 0), (60, 2, 0)]),
    "tcp6 authentication": v6(tcp(), chain=[(51, 4, 0)]),
    "tcp6 eight extensions": v6(tcp(), chain=[(60, 0, 0)] * 8),
    "tcp6 nine extensions": v6(tcp(), chain=[(60, 0, 0)] * 9),
    "tcp6 extension cut": v6(b"", chain=[(60, 0, 0)])[:-1],
    "tcp6 atomic fragment": v6(tcp(), chain=[(44, 0, 0)]),
    "tcp6 first fragment": v6(tcp(), chain=[(44, 0, 1)]),
    "tcp6 later fragment": v6(tcp(), chain=[(44, 0, 8)]),
    "tcp6 past the window": v6(tcp(), chain=[(60, 57, 0)]),
    "tcp6 ends 6 bytes before the window's end": v6(tcp(), chain=[(60, 53, 0)]),
    "tcp6 ends 2 bytes past the window's end": v6(tcp(), chain=[(60, 54, 0)]),
    # VLAN tags in the frame
    "tcp4 one tag": v4(tcp(), tags=[(QTAG, 5)]),
    "tcp4 two tags": v4(tcp(), tags=[(STAG, 9), (QTAG, 5)]),
    "tcp4 three tags": v4(tcp(), tags=[(QTAG, 5)] * 3),
    "tcp4 other tag": v4(tcp(), tags=[(0x9100, 5)]),
    "tag alone": ethernet(b"", IP4, [(QTAG, 5)])[:16],
}
"""By what they are; a packet is TCP from 10.0.0.1 port 1024 to 10.0.0.2 port 80 unless the name says more."""


def action(text: str, frame: bytes, *, mark: int = 0, tag: Tag | None = None, world: World | None = None) -> Action:
    """What the program decides, by the interpreter."""
    return decide(compile_text(text), frame, mark=mark, tag=tag, world=world)


def passed(text: str, frame: bytes, *, tag: Tag | None = None, world: World | None = None) -> bool:
    """Whether the program passes the frame."""
    return action(text, frame, tag=tag, world=world).fanout != 0


def passing(text: str) -> set[str]:
    """The names of the frames that a program passes."""
    program = compile_text(text)
    return {name for name, frame in FRAMES.items() if decide(program, frame).fanout != 0}


def accepted(predicate: str) -> set[str]:
    """The names of the frames for which a predicate holds."""
    return passing(f"filter ({predicate})")


def ask(
    name: str,
    frame: bytes,
    *args: Value,
    tag: Tag | None = None,
    world: World | None = None,
    mark: int = 0,
    sides: tuple[str, ...] = BOTH_SIDES,
    level: int = 0,
) -> Any:
    """What the reference function of a primitive says about a frame, seen from some sides and so many tunnels deep."""
    machine = Machine(Packet(frame, tag), mark, world or World(), {})
    machine.sides, machine.level = sides, level
    return PRIMS[name].run(machine, *args)
