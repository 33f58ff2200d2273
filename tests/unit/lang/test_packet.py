"""Where the headers of a frame are, and that what is cut off is absent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import frames, tcp
from support.handmade import FRAMES, QTAG, STAG, v4, v6

from pfq.lang.packet import EXTENSIONS, HEADER_WINDOW, Packet, Tag, network

NETWORK = {
    "nothing": (None, 14),
    "runt": (None, 14),
    "ethernet alone": (0x0800, 14),
    "arp": (0x0806, 14),
    "llc": (43, 14),
    "tcp4": (0x0800, 14),
    "tcp4 one tag": (0x0800, 18),
    "tcp4 two tags": (0x0800, 22),
    "tcp4 three tags": (0x8100, 22),
    "tcp4 other tag": (0x9100, 14),
    "tag alone": (None, 18),
    "tcp6": (0x86DD, 14),
}

# version, protocol, offset of layer 4, is a fragment
IP = {
    "tcp4": (4, 6, 34, False),
    "tcp4 one tag": (4, 6, 38, False),
    "tcp4 two tags": (4, 6, 42, False),
    "tcp4 options": (4, 6, 74, False),
    "tcp4 do not fragment": (4, 6, 34, False),
    "tcp4 first fragment": (4, 6, 34, True),
    "tcp4 later fragment": (4, 6, None, True),
    "tcp4 last fragment": (4, 6, None, True),
    "gre4": (4, 47, 34, False),
    "tcp6": (6, 6, 54, False),
    "ip6 no next header": (6, 59, 54, False),
    "tcp6 three extensions": (6, 6, 54 + 8 + 16 + 24, False),
    "tcp6 authentication": (6, 6, 54 + 24, False),
    "tcp6 eight extensions": (6, 6, 54 + 64, False),
    "tcp6 nine extensions": (6, None, None, False),
    "tcp6 extension cut": (6, None, None, False),
    "tcp6 atomic fragment": (6, 6, 62, False),
    "tcp6 first fragment": (6, 6, 62, True),
    "tcp6 later fragment": (6, 6, None, True),
    "tcp6 past the window": (6, 6, 54 + 464, False),
}
NO_IP = (
    "arp",
    "tcp4 three tags",
    "tcp4 options cut",
    "ip4 19 bytes",
    "ip4 version 5",
    "ip4 header of 16 bytes",
    "ip4 type with ip6",
    "ip6 39 bytes",
    "ip6 version 4",
)


@pytest.mark.parametrize(("name", "wanted"), NETWORK.items(), ids=list(NETWORK))
def test_layer_3_is_behind_at_most_two_tags(name: str, wanted: tuple[int | None, int]) -> None:
    assert network(Packet(FRAMES[name]).window, 0, 2) == wanted


def test_a_tag_taken_off_by_the_device_counts() -> None:
    stripped = Tag(STAG, 9)
    assert Packet(FRAMES["tcp4 one tag"], stripped).ethertype == 0x0800
    assert Packet(FRAMES["tcp4 two tags"], stripped).ethertype == QTAG


@pytest.mark.parametrize(("name", "wanted"), IP.items(), ids=list(IP))
def test_ip(name: str, wanted: tuple[int, int | None, int | None, bool]) -> None:
    ip = Packet(FRAMES[name]).level(0).ip
    assert ip is not None
    assert (ip.version, ip.proto, ip.l4, ip.fragment) == wanted


@pytest.mark.parametrize("name", NO_IP)
def test_no_ip(name: str) -> None:
    assert Packet(FRAMES[name]).level(0).ip is None


def test_addresses_and_headers_are_whole() -> None:
    ip4, ip6 = Packet(FRAMES["tcp4 options"]).level(0).ip, Packet(FRAMES["tcp6"]).level(0).ip
    assert ip4 is not None
    assert ip6 is not None
    assert (ip4.src, ip4.dst, len(ip4.header)) == (b"\x0a\0\0\1", b"\x0a\0\0\2", 60)
    assert (ip6.src[-1:], ip6.dst[-1:], len(ip6.src), len(ip6.header)) == (b"\1", b"\2", 16, 40)


@pytest.mark.parametrize("kind", EXTENSIONS)
@pytest.mark.parametrize("length", [0, 1, 7])
def test_the_size_of_every_extension_header(kind: int, length: int) -> None:
    size = 8 if kind == 44 else (length + 2) * 4 if kind == 51 else (length + 1) * 8
    ip = Packet(v6(tcp(), chain=[(kind, length, 0)])).level(0).ip
    assert ip is not None
    assert (ip.proto, ip.l4) == (6, 54 + size)


@pytest.mark.parametrize("reserved", [2, 4, 6])
def test_reserved_bits_make_no_fragment(reserved: int) -> None:
    ip = Packet(v6(tcp(), chain=[(44, 0, reserved)])).level(0).ip
    assert ip is not None
    assert not ip.fragment
    assert ip.l4 == 62


def test_headers_are_looked_for_in_the_window_only() -> None:
    inside, past = (v6(tcp(), chain=[(60, length, 0)]) for length in (53, 54))
    assert len(inside) == 506
    assert len(past) == 514 > HEADER_WINDOW
    assert Packet(inside).level(0).tcp == tcp()
    assert Packet(past).level(0).tcp is None
    assert Packet(past + bytes(1000)).level(0).tcp is None


def test_tcp_ends_with_the_window() -> None:
    assert Packet(v4(tcp(payload=bytes(2000)))).level(0).tcp == tcp(payload=bytes(HEADER_WINDOW - 34 - 20))


@pytest.mark.parametrize(("size", "there"), [(0, True), (19, True), (20, True), (21, False)])
def test_l4_of_a_size(size: int, there: bool) -> None:
    assert (Packet(FRAMES["tcp4"]).level(0).l4(size) is not None) is there


def test_transport_wants_its_protocol() -> None:
    packet = Packet(FRAMES["tcp4"]).level(0)
    assert packet.transport(6, 20) == tcp()
    assert packet.transport(17, 8) is None
    assert packet.udp is None
    assert packet.flow == tcp()


@given(frame=frames(), cut=st.integers(0, 600))
def test_cutting_a_frame_never_changes_what_is_still_found(frame: bytes, cut: int) -> None:
    whole, short = Packet(frame).level(0), Packet(frame[:cut]).level(0)
    if short.ip is not None:
        assert whole.ip is not None
        assert short.ip.header == whole.ip.header
        assert short.ip.l4 is None or short.ip.l4 == whole.ip.l4
    for name in ("tcp", "udp", "icmp"):
        found, wanted = getattr(short, name), getattr(whole, name)
        assert found is None or wanted is not None
        assert found is None or wanted.startswith(found)
