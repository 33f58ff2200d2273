"""RTP, RTCP and SIP by ports and first bytes: behaviour statements 42 and 55."""

from __future__ import annotations

import struct

import pytest
from support.frames import ADDRESSES4, ADDRESSES6, CAPTURES, ethernet_frames, ip4
from support.handmade import FRAMES, action, passed, v4, v6

from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.packet import HEADER_WINDOW

PREDICATES = ("is_rtp", "is_rtcp", "is_sip")
A4, B4, A6, B6 = *ADDRESSES4[:2], *ADDRESSES6[:2]


def media(source: int, dest: int, type_byte: int = 0, first: int = 0x80, size: int = 12) -> bytes:
    """A UDP datagram whose payload of `size` bytes begins as RTP and RTCP do."""
    payload = bytes([first, type_byte]).ljust(size, b"\0")[:size]
    return struct.pack(">HHHH", source, dest, 8 + size, 0) + payload


def segment(source: int, dest: int, size: int = 20) -> bytes:
    """The beginning of a TCP segment."""
    return struct.pack(">HHIIBBHHH", source, dest, 1, 2, 5 << 4, 0x10, 512, 0, 0)[:size]


def kinds(frame: bytes) -> str:
    """The predicates that hold, by name."""
    return " ".join(name.removeprefix("is_") for name in PREDICATES if passed(f"filter {name}", frame))


@pytest.mark.parametrize("port", [5060, 5061])
def test_s42_sip_is_a_port_on_either_side_of_tcp_or_udp(port: int) -> None:
    for source, dest in ((port, 2000), (2000, port), (port, port), (port, 80)):
        assert kinds(v4(media(source, dest, first=0, size=12), 17)) == "sip"
        assert kinds(v4(segment(source, dest))) == "sip"
        assert kinds(v6(segment(source, dest))) == "sip"
        assert kinds(v6(media(source, dest), 17)) == "sip"


def test_s42_neighbours_of_the_ports_and_other_protocols_are_not_sip() -> None:
    for port in (5059, 5062, 0x14C4 ^ 0x8000):
        assert kinds(v4(segment(port, 80))) == ""
    assert kinds(v4(segment(5060, 5060), 132)) == ""
    assert kinds(v4(segment(5060, 5060), 1)) == ""


def test_s42_sip_comes_before_rtp() -> None:
    assert kinds(v4(media(5060, 2000, type_byte=0), 17)) == "sip"
    assert kinds(v4(media(5061, 2001, type_byte=200), 17)) == "sip"


KNOWN = {*range(19), 25, 26, 28, 31, 32, 33, 34, *range(96, 256)}


@pytest.mark.parametrize("type_byte", range(256))
def test_s42_on_even_ports_the_payload_type_decides(type_byte: int) -> None:
    assert kinds(v4(media(4000, 6000, type_byte), 17)) == ("rtp" if type_byte in KNOWN else "")


@pytest.mark.parametrize("type_byte", range(256))
def test_s42_on_odd_ports_only_a_sender_report_counts(type_byte: int) -> None:
    assert kinds(v4(media(4001, 6001, type_byte), 17)) == ("rtcp" if type_byte == 200 else "")


@pytest.mark.parametrize("type_byte", [0, 19, 27, 95, 200, 255])
def test_s42_on_mixed_ports_all_is_rtp(type_byte: int) -> None:
    assert kinds(v4(media(4000, 6001, type_byte), 17)) == "rtp"
    assert kinds(v4(media(4001, 6000, type_byte), 17)) == "rtp"


@pytest.mark.parametrize("first", range(256))
def test_s42_the_version_must_be_2(first: int) -> None:
    for source, dest, type_byte, kind in ((4000, 6000, 0, "rtp"), (4001, 6001, 200, "rtcp"), (4000, 6001, 9, "rtp")):
        assert kinds(v4(media(source, dest, type_byte, first), 17)) == (kind if 0x80 <= first <= 0xBF else "")


@pytest.mark.parametrize(
    ("source", "dest", "kind"),
    [
        (1024, 1024, "rtp"),
        (1022, 1024, ""),
        (1024, 1022, ""),
        (1023, 1024, ""),
        (65534, 65534, "rtp"),
        (0, 0, ""),
        (1024, 1025, "rtp"),
    ],
)
def test_s42_both_ports_are_1024_or_more(source: int, dest: int, kind: str) -> None:
    assert kinds(v4(media(source, dest), 17)) == kind


def test_s42_tcp_is_no_media() -> None:
    assert kinds(v4(media(4000, 6000) + bytes(8))) == ""


@pytest.mark.parametrize("version", [4, 6])
def test_s42_20_bytes_of_layer_4_are_needed(version: int) -> None:
    packet = v4 if version == 4 else v6
    assert kinds(packet(media(4000, 6000, size=12), 17)) == "rtp"
    assert kinds(packet(media(4000, 6000, size=11), 17)) == ""
    assert kinds(packet(media(5060, 6000, size=12), 17)) == "sip"
    assert kinds(packet(media(5060, 6000, size=11), 17)) == ""
    assert kinds(packet(segment(5060, 6000), 6)) == "sip"
    assert kinds(packet(segment(5060, 6000, size=19), 6)) == ""


def test_all_of_it_lies_in_the_window() -> None:
    options = [(60, (HEADER_WINDOW - 14 - 40 - 20) // 8 - 1, 0)]
    inside = v6(media(4000, 6000, size=50), 17, chain=options)
    past = v6(media(4000, 6000, size=50), 17, chain=[(60, options[0][1] + 1, 0)])
    assert (kinds(inside), kinds(past)) == ("rtp", "")


def test_a_later_fragment_is_unknown() -> None:
    assert kinds(v4(media(4000, 6000), 17, parts=0x2000)) == "rtp"
    assert kinds(v4(media(4000, 6000), 17, parts=0x2001)) == ""
    assert kinds(v6(media(4000, 6000), 17, chain=[(44, 0, 8)])) == ""


def test_options_and_tags_are_skipped() -> None:
    assert kinds(v4(media(4000, 6000), 17, options=b"\1" * 40, tags=[(0x8100, 5)])) == "rtp"
    assert kinds(v6(media(4001, 6001, 200), 17, chain=[(0, 0, 0), (60, 2, 0)])) == "rtcp"


def test_shift_looks_into_the_tunnel() -> None:
    tunnel = v4(ip4(media(4000, 6000), 17), 4)
    assert passed("shift rtp", tunnel)
    assert not passed("rtp", tunnel)


RTP, RTCP, SIP = v4(media(4000, 6000), 17), v4(media(4001, 6001, 200), 17), v4(segment(5060, 6000))


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("rtp", (True, False, False)),
        ("rtcp", (False, True, False)),
        ("sip", (False, False, True)),
        ("voip", (True, True, True)),
    ],
)
def test_filters_pass_what_their_predicates_accept(name: str, passes: tuple[bool, ...]) -> None:
    assert tuple(passed(name, frame) for frame in (RTP, RTCP, SIP)) == passes
    assert tuple(passed(f"filter is_{name}", frame) for frame in (RTP, RTCP, SIP)) == passes


@pytest.mark.parametrize("name", FRAMES)
def test_nothing_else_is_a_call(name: str) -> None:
    assert not passed("voip", FRAMES[name])
    assert action("steer_voip", FRAMES[name]) == action("steer_rtp", FRAMES[name]) == Action(fanout=Fanout.DROP)


# In memory order: 10.0.0.1 ^ 10.0.0.2 is 03000000, whose bytes are folded together, and port 4000 ^ 6000 = a00f ^ 7017.
HASH4 = 0x03 << 24 ^ 0x03 << 16 ^ 0x03 << 8 ^ 0x03 ^ 0xA00F >> 1 ^ 0x7017 >> 1


def test_s55_the_hash() -> None:
    assert action("steer_rtp", RTP) == Action(fanout=Fanout.STEER, hash=HASH4)
    assert action("steer_voip", RTP) == Action(fanout=Fanout.STEER, hash=HASH4)


def test_s55_the_addresses_of_ip6_count_whole() -> None:
    """2001:db8::1 ^ 2001:db8::2 differ in the last byte, as the two IPv4 addresses do."""
    assert action("steer_rtp", v6(media(4000, 6000), 17)).hash == HASH4
    for at in range(16):
        other = bytearray(A6)
        other[at] ^= 0x40
        assert action("steer_rtp", v6(media(4000, 6000), 17, src=bytes(other))).hash != HASH4


PAIRS = [(4000, 6000), (1024, 65534), (16384, 16640), (0x10FE, 0x20FE), (40000, 40000)]


@pytest.mark.parametrize(("source", "dest"), PAIRS)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["steer_rtp", "steer_voip"])
def test_s55_a_stream_its_reports_and_both_directions_have_one_hash(
    name: str, version: int, source: int, dest: int
) -> None:
    def steered(there: bool, first: int, second: int, type_byte: int) -> Action:
        ports = (first, second) if there else (second, first)
        if version == 4:
            src, dst = (A4, B4) if there else (B4, A4)
            return action(name, v4(media(*ports, type_byte), 17, src=src, dst=dst))
        src, dst = (A6, B6) if there else (B6, A6)
        return action(name, v6(media(*ports, type_byte), 17, src=src, dst=dst))

    wanted = steered(True, source, dest, 0)
    assert wanted.fanout is Fanout.STEER
    assert steered(False, source, dest, 0) == wanted
    assert steered(True, source + 1, dest + 1, 200) == wanted
    assert steered(False, source + 1, dest + 1, 200) == wanted


def test_s55_streams_on_other_ports_have_other_hashes() -> None:
    hashes = {action("steer_rtp", v4(media(port, 6000), 17)).hash for port in range(16384, 16640, 2)}
    assert len(hashes) == 128


def test_s55_sip_is_dropped_or_broadcast() -> None:
    assert action("steer_rtp", SIP) == Action(fanout=Fanout.DROP)
    assert action("steer_voip", SIP) == Action(fanout=Fanout.COPY, classes=ANY_CLASSES)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sip_reqs", ["sip", "", "", "sip"]),  # those in the middle travel over PPPoE
        ("sip_resp", ["sip", "sip", "sip", "sip", "", "sip", "sip"]),  # one is on port 5054
    ],
)
def test_real_calls(name: str, found: list[str]) -> None:
    assert [kinds(frame) for frame in ethernet_frames(CAPTURES / f"pcapplusplus-{name}.pcap")] == found
