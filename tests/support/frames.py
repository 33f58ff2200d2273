"""Frames to test with: real ones from the captures, and generated odd ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from pfq.files import read_frames

CAPTURES = Path(__file__).parents[1] / "captures"
ETHERNET = 1

MACS = bytes.fromhex("ffffffffffff020000000001")
ADDRESSES4 = tuple(bytes(map(int, a.split("."))) for a in ("10.0.0.1", "10.0.0.2", "192.168.1.1", "255.255.255.255"))
ADDRESSES6 = tuple(bytes.fromhex(a) for a in ("20010db8" + "0" * 23 + "1", "20010db8" + "0" * 23 + "2", "f" * 32))
PORTS = (0, 22, 53, 80, 443, 2123, 2152, 4789, 5060, 6081, 65535)
EXTENSIONS = (0, 43, 44, 51, 60, 135)
PROTOCOLS = (6, 17, 1, 58, 47, 59, 4, 41, 255)


@cache
def ethernet_captures() -> tuple[Path, ...]:
    """The captures that hold Ethernet frames."""
    return tuple(path for path in sorted(CAPTURES.glob("*.pcap*")) if any(True for _ in ethernet_frames(path)))


def ethernet_frames(path: Path) -> Iterator[bytes]:
    """The Ethernet frames of a capture, up to where the file is damaged (some are, on purpose)."""
    from pfq.errors import FileFormatError

    try:
        for frame in read_frames(path):
            if frame.link_type == ETHERNET:
                yield frame.data
    except FileFormatError:
        return


def tcp(source: int = 1024, dest: int = 80, flags: int = 0x10, payload: bytes = b"") -> bytes:
    return struct.pack(">HHIIBBHHH", source, dest, 1, 2, 5 << 4, flags, 512, 0, 0) + payload


def udp(source: int = 1024, dest: int = 53, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", source, dest, 8 + len(payload), 0) + payload


def ip4(
    payload: bytes = b"",
    proto: int = 6,
    src: bytes = ADDRESSES4[0],
    dst: bytes = ADDRESSES4[1],
    *,
    ttl: int = 64,
    parts: int = 0,
    options: bytes = b"",
    version_ihl: int | None = None,
) -> bytes:
    """An IPv4 packet; `parts` is the flags-and-offset word, `version_ihl` overrides the first byte."""
    first = 0x40 | (5 + len(options) // 4) if version_ihl is None else version_ihl
    length = 20 + len(options) + len(payload)
    head = struct.pack(">BBHHHBBH4s4s", first, 0, length & 0xFFFF, 7, parts, ttl, proto, 0, src, dst)
    return head + options + payload


def ip6(payload: bytes = b"", proto: int = 6, src: bytes = ADDRESSES6[0], dst: bytes = ADDRESSES6[1]) -> bytes:
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload) & 0xFFFF, proto, 64, src, dst) + payload


def extended(extensions: list[tuple[int, int, int]], proto: int, payload: bytes) -> tuple[int, bytes]:
    """(first next-header, bytes) of a chain of IPv6 extension headers: (kind, length byte, fragment word)."""
    data, following = payload, proto
    for kind, length, parts in reversed(extensions):
        if kind == 44:
            header = struct.pack(">BBHI", following, 0, parts, 7)
        else:
            size = (length + 2) * 4 if kind == 51 else (length + 1) * 8
            header = bytes([following, length]).ljust(size, b"\0")
        data, following = header + data, kind
    return following, data


def ethernet(payload: bytes, ethertype: int, tags: list[tuple[int, int]] | None = None) -> bytes:
    """A frame with VLAN tags (EtherType, control information), outermost first."""
    head = MACS
    for kind, tci in tags or []:
        head += struct.pack(">HH", kind, tci)
    return head + struct.pack(">H", ethertype) + payload


def gre(payload: bytes, kind: int, flags: int = 0) -> bytes:
    """GRE around a packet; `flags` says which of checksum, key and sequence number are there."""
    options = bytes(range(4)) * sum(flags & bit != 0 for bit in (0x8000, 0x2000, 0x1000))
    return struct.pack(">HH", flags, kind) + options + payload


def vxlan(frame: bytes, flags: int = 0x08) -> bytes:
    return bytes([flags, 0, 0, 0, 0, 0, 7, 0]) + frame


def geneve(payload: bytes, kind: int, option_words: int = 0, version: int = 0) -> bytes:
    return struct.pack(">BBHI", version << 6 | option_words, 0, kind, 7 << 8) + bytes(4 * option_words) + payload


def gtp(payload: bytes, flags: int = 0x30, message: int = 255, extensions: tuple[int, ...] = ()) -> bytes:
    """GTP version 1; `extensions` are the lengths of extension headers in words, whose types are not 0."""
    options = b""
    if flags & 7:
        options = bytes(3) + bytes([0x85 if extensions else 0])
        for at, words in enumerate(extensions):
            last = 0 if at == len(extensions) - 1 else 0x85
            options += (bytes([words]).ljust(4 * words - 1, b"\0") + bytes([last])) if words else b"\0"
    return struct.pack(">BBHI", flags, message, len(options) + len(payload), 1) + options + payload


transports = st.one_of(
    st.builds(tcp, st.sampled_from(PORTS), st.sampled_from(PORTS), payload=st.binary(max_size=12)),
    st.builds(udp, st.sampled_from(PORTS), st.sampled_from(PORTS), st.binary(max_size=12)),
    st.binary(max_size=24),
)

packets4 = st.builds(
    ip4,
    transports,
    st.sampled_from(PROTOCOLS),
    st.sampled_from(ADDRESSES4),
    st.sampled_from(ADDRESSES4),
    ttl=st.sampled_from((0, 1, 63, 64, 255)),
    parts=st.sampled_from((0, 0, 0, 0x4000, 0x2000, 0x2001, 1, 0x1FFF, 0x8000)),
    options=st.sampled_from((b"", b"", b"\1" * 4, b"\1" * 40)),
    version_ihl=st.sampled_from((None,) * 8 + (0x40, 0x44, 0x4F, 0x55, 0x65)),
)


@st.composite
def packets6(draw: st.DrawFn) -> bytes:
    chain = draw(
        st.lists(
            st.tuples(st.sampled_from(EXTENSIONS), st.integers(0, 3), st.sampled_from((0, 1, 2, 8, 9, 0xFFF8))),
            max_size=10,
        )
    )
    first, payload = extended(chain, draw(st.sampled_from(PROTOCOLS)), draw(transports))
    return ip6(payload, first, draw(st.sampled_from(ADDRESSES6)), draw(st.sampled_from(ADDRESSES6)))


@st.composite
def tunnelled(draw: st.DrawFn) -> tuple[bytes, int]:
    """An IP packet that carries others, up to three deep, well-formed or nearly so, and its EtherType."""
    inner, kind = draw(st.one_of(st.tuples(packets4, st.just(0x0800)), st.tuples(packets6(), st.just(0x86DD))))
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(("ip", "gre", "gre frame", "vxlan", "geneve", "geneve frame", "gtp")))
        frame = ethernet(inner, kind, draw(st.lists(st.just((0x8100, 5)), max_size=3)))
        match way:
            case "ip":
                payload, proto = inner, draw(st.sampled_from((4, 41, 4 if kind == 0x0800 else 41)))
            case "gre":
                flags = draw(st.sampled_from((0, 0x2000, 0x3000, 0xB000, 0x4000, 1, 0x8000)))
                payload, proto = gre(inner, kind, flags), 47
            case "gre frame":
                payload, proto = gre(frame, 0x6558, draw(st.sampled_from((0, 0x2000)))), 47
            case "vxlan":
                payload, proto = udp(9, 4789, vxlan(frame, draw(st.sampled_from((8, 8, 0))))), 17
            case "geneve":
                payload, proto = udp(9, 6081, geneve(inner, kind, draw(st.sampled_from((0, 1, 63))))), 17
            case "geneve frame":
                payload, proto = udp(9, 6081, geneve(frame, 0x6558, version=draw(st.sampled_from((0, 0, 1))))), 17
            case _:
                flags = draw(st.sampled_from((0x30, 0x32, 0x34, 0x36, 0x20, 0x50)))
                extensions = tuple(draw(st.lists(st.sampled_from((0, 1, 2)), max_size=5))) if flags & 4 else ()
                message = draw(st.sampled_from((255, 255, 1)))
                payload, proto = udp(9, 2152, gtp(inner, flags, message, extensions)), 17
        parts = draw(st.sampled_from((0, 0, 0, 0x2000, 1)))
        inner, kind = draw(st.sampled_from(((ip4(payload, proto, parts=parts), 0x0800), (ip6(payload, proto), 0x86DD))))
    return inner, kind


tags = st.lists(st.tuples(st.sampled_from((0x8100, 0x88A8, 0x9100)), st.integers(0, 0xFFFF)), max_size=4)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Frames of all kinds: tagged, fragmented, with options and extension headers, cut anywhere."""
    payload, natural = draw(
        st.one_of(
            st.tuples(packets4, st.just(0x0800)),
            st.tuples(packets6(), st.just(0x86DD)),
            tunnelled(),
            st.tuples(st.binary(max_size=60), st.sampled_from((0x0806, 0x0800, 0x86DD, 0x05FF, 0x8847))),
        )
    )
    whole = ethernet(payload, natural, draw(tags))
    cut = draw(st.one_of(st.none(), st.integers(0, len(whole))))
    padded = draw(st.sampled_from((0, 0, 6, 600)))
    return whole[:cut] if cut is not None else whole + bytes(padded)
