"""Properties have exactly these values, in host order, and are absent where their header is."""

from __future__ import annotations

import struct

import pytest
from support.frames import ethernet, ip4, ip6, tcp, udp
from support.handmade import FRAMES, ICMP, IP4, IP6, QTAG, action, ask, v4, v6

from pfq.lang.packet import Tag
from pfq.lang.prims import PRIMS, Kind
from pfq.lang.prims.properties import ROWS

ODD_IP4 = ethernet(b"\x45\xb9\x01\x02\xab\xcd\x60\x05\x07\x06" + bytes(10) + tcp(), IP4)
"""DSCP 46, ECN 1, 258 bytes, id 0xabcd, flags 3 and offset 5, 7 hops."""
ODD_IP6 = ethernet(b"\x6b\x9a\xbc\xde" + b"\0\x14\x06\x09" + bytes(32) + tcp(), IP6)
"""DSCP 46, ECN 1, flow label 0xabcde, 20 bytes, 9 hops."""
MORE = {
    "odd ip4": ODD_IP4,
    "odd ip6": ODD_IP6,
    "echo reply": v4(b"\0\x03\0\0\0\1\0\1", 1),
    "neighbour": v6(b"\x87\x05\0\0\0\0\0\0", 58),
    "tcp4 all flags": v4(tcp(flags=0xA5)),
    "udp4 of 1000": v4(b"\0\x35\x04\x00\x03\xe8\0\0", 17),
}

VALUES: dict[str, dict[str, int | None]] = {
    "ip_tos": {"tcp4": 0, "odd ip4": 0xB9, "odd ip6": None, "arp": None, "ip4 19 bytes": None},
    "ip_tot_len": {"tcp4": 40, "tcp4 options": 80, "udp4": 28, "gre4": 40, "tcp4 two tags": 40, "tcp6": None},
    "ip_id": {"tcp4": 7, "odd ip4": 0xABCD, "tcp6": None},
    "ip_frag": {
        "tcp4": 0,
        "tcp4 do not fragment": 0x4000,
        "tcp4 later fragment": 0x2001,
        "odd ip4": 0x6005,
        "tcp6 later fragment": None,
    },
    "ip_ttl": {"tcp4": 64, "tcp4 ttl 5": 5, "tcp4 later fragment": 64, "tcp6": None, "arp": None, "nothing": None},
    "ip6_flow_label": {"tcp6": 0, "odd ip6": 0xABCDE, "tcp4": None, "ip6 39 bytes": None},
    "ip_hop": {"tcp4 ttl 5": 5, "odd ip4": 7, "tcp6": 64, "odd ip6": 9, "arp": None, "ip6 39 bytes": None},
    "ip_dscp": {"tcp4": 0, "odd ip4": 46, "tcp6": 0, "odd ip6": 46, "arp": None, "runt": None},
    "ip_ecn": {"tcp4": 0, "odd ip4": 1, "tcp6": 0, "odd ip6": 1, "arp": None, "runt": None},
    "tcp_source": {"tcp4": 1024, "tcp4 port 443": 443, "tcp6": 1024, "udp4": None, "tcp4 19 bytes": None},
    "tcp_dest": {"tcp4": 80, "tcp4 options": 80, "tcp6 nine extensions": None, "tcp4 later fragment": None},
    "tcp_hdrlen": {"tcp4": 20, "tcp6": 20, "udp4": None, "tcp4 19 bytes": None, "tcp4 later fragment": None},
    "tcp_flags": {"tcp4": 0x10, "tcp6": 0x10, "tcp4 all flags": 0xA5, "udp6": None, "tcp4 19 bytes": None},
    "udp_source": {"udp4": 1024, "udp6": 1024, "udp4 limited broadcast": 68, "tcp4": None, "udp4 7 bytes": None},
    "udp_dest": {"udp4": 53, "udp6": 53, "udp4 limited broadcast": 67, "tcp6": None, "icmp4": None},
    "udp_len": {"udp4": 8, "udp6": 8, "udp4 of 1000": 1000, "tcp4": None, "udp4 7 bytes": None},
    "icmp_type": {
        "icmp4": 8,
        "icmp6": 8,
        "echo reply": 0,
        "neighbour": 135,
        "icmp4 7 bytes": None,
        "icmp6 over ip4": None,
        "icmp4 over ip6": None,
        "tcp4": None,
    },
    "icmp_code": {"icmp4": 0, "echo reply": 3, "neighbour": 5, "icmp4 7 bytes": None, "icmp4 over ip6": None},
    "payload_len": {
        "tcp4": 0,
        "udp4": 0,
        "tcp6": 0,
        "tcp4 two tags": 0,
        "tcp6 three extensions": 0,
        "odd ip4": None,
        "odd ip6": 0,
        "udp4 of 1000": 0,
        "tcp4 19 bytes": None,
        "tcp4 later fragment": None,
        "tcp6 later fragment": None,
        "icmp4": None,
        "arp": None,
        "nothing": None,
    },
    "pkt_len": {
        "nothing": 0,
        "runt": 10,
        "ethernet alone": 14,
        "tcp4": 54,
        "tcp4 one tag": 58,
        "tcp6 past the window": 538,
    },
    "get_mark": {"nothing": 0, "tcp4": 0},
    "get_state": {"nothing": 0, "tcp4": 0},
}
CASES = [(name, frame, value) for name, values in VALUES.items() for frame, value in values.items()]


def test_all_properties_are_here() -> None:
    assert set(VALUES) == {prim.name for prim in ROWS}
    assert {prim.kind for prim in ROWS} == {Kind.PROPERTY}


@pytest.mark.parametrize(("name", "frame", "value"), CASES, ids=[f"{name} of {frame}" for name, frame, _ in CASES])
def test_value(name: str, frame: str, value: int | None) -> None:
    assert ask(name, {**FRAMES, **MORE}[frame]) == value


@pytest.mark.parametrize("port", [0, 1, 255, 256, 443, 32768, 65535])
def test_s36_ports_are_in_host_order(port: int) -> None:
    assert ask("tcp_source", v4(tcp(port, 9))) == port
    assert ask("tcp_dest", v4(tcp(9, port))) == port
    assert ask("udp_source", v4(udp(port, 9), 17)) == port
    assert ask("udp_dest", v4(udp(9, port), 17)) == port


def tcp_of(words: int, rest: bytes) -> bytes:
    """TCP that says it has so many 32-bit words of header, with some bytes behind the fixed ones."""
    return tcp()[:12] + bytes([words << 4 | 1]) + tcp()[13:] + rest


@pytest.mark.parametrize("words", [0, 4, 5, 6, 8, 15])
def test_s36_the_tcp_header_length_is_in_bytes(words: int) -> None:
    for frame in (v4(tcp_of(words, bytes(40))), v6(tcp_of(words, bytes(40)))):
        assert ask("tcp_hdrlen", frame) == 4 * words


@pytest.mark.parametrize(("words", "wanted"), [(0, 60), (5, 40), (8, 28), (15, 0)])
def test_the_payload_of_tcp_lies_behind_its_options(words: int, wanted: int) -> None:
    segment = tcp_of(words, bytes(40))
    for frame in (
        v4(segment),
        v4(segment, options=b"\1" * 12),
        v4(segment, tags=[(QTAG, 5)]),
        v6(segment),
        v6(segment, chain=[(0, 0, 0), (51, 4, 0), (60, 2, 0)]),
    ):
        assert ask("payload_len", frame) == wanted
        assert ask("payload_len", frame + bytes(18)) == wanted, "padding is no payload"


@pytest.mark.parametrize("size", [0, 1, 100, 1472])
def test_the_payload_of_udp_goes_by_the_ip_header(size: int) -> None:
    datagram = udp(payload=bytes(size))
    for frame in (v4(datagram, 17), v6(datagram, 17), v6(datagram, 17, chain=[(60, 0, 0)])):
        assert ask("payload_len", frame) == size
        assert ask("payload_len", frame[:120]) == size, "what is cut off counts"


def with_ip_length(frame: bytes, length: int) -> bytes:
    at = 16 if frame[12:14] == b"\x08\0" else 18
    return frame[:at] + struct.pack(">H", length) + frame[at + 2 :]


def test_the_payload_is_never_below_nothing() -> None:
    segment = tcp_of(5, bytes(10))
    for length, wanted in ((0, 0), (20, 0), (39, 0), (40, 0), (41, 1), (50, 10), (65535, 65495)):
        assert ask("payload_len", with_ip_length(v4(segment), length)) == wanted, length
    for length, wanted in ((0, 0), (19, 0), (20, 0), (21, 1), (65535, 65515)):
        assert ask("payload_len", with_ip_length(v6(segment), length)) == wanted, length


def test_the_payload_of_a_first_fragment_is_what_it_carries() -> None:
    assert ask("payload_len", v4(udp(payload=bytes(16)), 17, parts=0x2000)) == 16
    assert ask("payload_len", v6(udp(payload=bytes(16)), 17, chain=[(44, 0, 1)])) == 16


def test_the_frame_has_its_length_with_the_tag_that_the_device_took_off() -> None:
    assert ask("pkt_len", FRAMES["tcp4"], tag=Tag(QTAG, 5)) == 58
    assert ask("pkt_len", FRAMES["tcp4 one tag"], tag=Tag(QTAG, 5)) == 62
    assert ask("pkt_len", bytes(9000)) == 9000


def test_mark_and_state_are_what_was_set() -> None:
    assert ask("get_mark", FRAMES["arp"], mark=0xFFFFFFFF) == 0xFFFFFFFF
    frame = FRAMES["nothing"]
    for name, setter in (("get_mark", "mark"), ("get_state", "put_state")):
        program = f"{setter} 70000 >-> when ({name} .== 70000) (inc 1) >-> when ({name} .< 70000) (inc 2)"
        assert action(program, frame).counters == {1: 1}
    assert action("when (get_mark .== 9) (inc 1) >-> when (get_state .== 0) (inc 2)", frame, mark=9).counters == {
        1: 1,
        2: 1,
    }


def test_an_absent_property_compares_with_nothing() -> None:
    for name in VALUES:
        if name not in ("pkt_len", "get_mark", "get_state"):
            assert action(f"when ({name} ./= 77) (inc 1)", FRAMES["arp"]).counters == {}, name
            assert PRIMS[name].example == f"filter ({name} .> 10)"


def test_s39_inside_a_tunnel_the_inner_packet_is_looked_at() -> None:
    inner = ip6(udp(53, 4000, bytes(5)), 17)
    frame = v4(inner, 41, ttl=5)
    for name, outside, inside in (
        ("ip_ttl", 5, None),
        ("ip_hop", 5, 64),
        ("ip_tot_len", 20 + 40 + 13, None),
        ("udp_source", None, 53),
        ("udp_len", None, 13),
        ("payload_len", None, 5),
        ("pkt_len", 14 + 73, 14 + 73),
        ("ip6_flow_label", None, 0),
    ):
        assert ask(name, frame) == outside, name
        assert ask(name, frame, level=1) == inside, name
    assert ask("payload_len", v4(ip4(tcp_of(6, bytes(9)), options=b"\1" * 8), 4), level=1) == 5
    assert ask("icmp_type", v4(ip4(ICMP, 1), 4), level=1) == 8
