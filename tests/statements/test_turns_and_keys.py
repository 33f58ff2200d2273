"""Statements 51 to 55 on packets of a device: steering in turn, to a member, by any fields, and of telephony."""

from __future__ import annotations

import struct
from itertools import combinations

import pytest
from root.network import Pair
from support.frames import tcp, udp
from support.statements import (
    ALL,
    FOUR,
    FRAGMENTS,
    GRE,
    IP4,
    LIMITED_BROADCAST,
    MAC_A,
    MAC_B,
    NOT_IP,
    NOWHERE,
    TCP,
    UDP,
    A,
    B,
    both_ways,
    bound,
    by_port,
    ether,
    frame,
    icmp_frame,
    mac,
    over_link,
    packet,
    places_of_both,
    tcp_frame,
    udp_frame,
)

from pfq.engine.steering import Member
from pfq.errors import RangeError
from pfq.lang import compile_text

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def test_s51_steer_rrobin_is_even(netns_pair: Pair) -> None:
    """What others do with packets in between does not matter."""
    with bound(netns_pair, "tcp >-> steer_rrobin", FOUR) as groups:
        frames = [make(note=n) for n in range(100) for make in (tcp_frame, udp_frame)]
        places = groups.who(frames)
    assert places[1::2] == [NOWHERE] * 100
    turns = places[::2]
    assert all({*turns[n : n + 4]} == {(number,) for number in ALL} for n in range(97))


def test_s51_steer_rrobin_follows_the_weights(netns_pair: Pair) -> None:
    members = [Member(1, weight=1), Member(4, weight=2), Member(6, weight=3)]
    with bound(netns_pair, "steer_rrobin", members) as groups:
        places = groups.who([tcp_frame(note=n) for n in range(60)])
    for start in range(0, 60, 6):
        window = places[start : start + 6]
        assert [window.count((member.endpoint,)) for member in members] == [1, 2, 3]


def test_s52_steer_to(netns_pair: Pair) -> None:
    members = [Member(7), Member(2, weight=8), Member(5), Member(3, classes=2)]
    numbers = (0, 1, 2, 3, 4, 100, 2**31 - 1)
    text = by_port({1000 + at: f"steer_to {number}" for at, number in enumerate(numbers)})
    with bound(netns_pair, text, members) as groups:
        for at, number in enumerate(numbers):
            frames = [udp_frame(f"10.0.0.{n}", ports=(1000 + at, 53)) for n in range(8)]
            assert groups.who(frames) == [((2, 5, 7)[number % 3],)] * 8


FIELD, SYMMETRIC, DOUBLE = 0x88B5, 0x88B6, 0x88B7


def value(number: int) -> bytes:
    """Three bytes that a field of that size can be."""
    return bytes([number, 0, number])


def fields(kind: int, first: bytes, second: bytes, note: int = 0) -> bytes:
    """A frame with two fields of three bytes at the offsets 14 and 18, and other bytes right beside them."""
    filler = struct.pack(">B", 0xA0 + note)
    return ether(kind, first + filler + second + filler * 40, dst=mac(note))


def test_s53_steer_field(netns_pair: Pair) -> None:
    text = f"""conditional (is_l3_proto {FIELD}) (steer_field 14 3)
        (conditional (is_l3_proto {SYMMETRIC}) (steer_field_symmetric 14 18 3) (double_steer_field 14 18 3))"""
    with bound(netns_pair, text, FOUR) as groups:
        groups.homes({n: [fields(FIELD, value(n), value(m), m) for m in range(5)] for n in range(12)})
        pairs = list(combinations(range(8), 2))
        groups.homes({
            (a, b): [fields(SYMMETRIC, value(x), value(y), note) for x, y in ((a, b), (b, a)) for note in range(2)]
            for a, b in pairs
        })  # fmt: skip
        homes = groups.homes({n: [fields(DOUBLE, value(n), value(n), note) for note in range(3)] for n in range(8)})
        places = groups.who([fields(DOUBLE, value(a), value(b)) for a, b in pairs])
        assert places == places_of_both(homes, pairs)
        for kind, size in ((FIELD, 17), (SYMMETRIC, 21), (DOUBLE, 21)):
            whole, cut = (fields(kind, value(1), value(2), note=3)[:length] for length in (size, size - 1))
            assert [len(place) > 0 for place in groups.who([whole, cut])] == [True, False]


@pytest.mark.parametrize("text", ["steer_field 14 5", "steer_field_symmetric 14 20 5", "double_steer_field 14 20 5"])
def test_s53_fields_have_at_most_four_bytes(text: str) -> None:
    """The original drops every packet; here an argument out of range is refused."""
    with pytest.raises(RangeError):
        compile_text(text)


# keys


def test_s54_key_3tuple(netns_pair: Pair) -> None:
    """As `steer_p2p`, but a limited broadcast is not special, and the protocol counts."""
    flows: dict[object, list[bytes]] = {}
    for n in range(8):
        a, b = f"10.1.{n}.1", "10.2.0.2"
        tcp_of_pair = both_ways(tcp_frame, a, b, (1000, 80)) + both_ways(tcp_frame, a, b, (2000, 22))
        flows[n, TCP] = [*tcp_of_pair, *(frame(a, b, TCP, tcp(), parts=parts) for parts in FRAGMENTS)]
        flows[n, UDP] = both_ways(udp_frame, a, b, (1000, 53))
        flows[n, GRE] = [frame(a, b, GRE, bytes(8)), frame(b, a, GRE, bytes(8))]
        flows[n, "limited"] = both_ways(udp_frame, a, LIMITED_BROADCAST, (68, 67))
    with bound(netns_pair, "steer_key key_3tuple", FOUR) as groups:
        found = groups.homes(flows)
        assert any(len({found[n, proto] for proto in (TCP, UDP, GRE)}) > 1 for n in range(8)), "the protocol counts"
        assert groups.who(NOT_IP) == [NOWHERE] * len(NOT_IP)


def test_s54_key_5tuple(netns_pair: Pair) -> None:
    """Two groups with the same members: one copy of a packet shows that both have chosen the same one."""
    flows: dict[object, list[bytes]] = {}
    for n in range(16):
        flows["tcp", n] = both_ways(tcp_frame, A, B, (1000 + n, 80))
        flows["udp", n] = both_ways(udp_frame, f"10.1.{n}.1", B, (1000, 53))
        flows["parts", n] = [frame(f"10.2.{n}.1", B, UDP, udp(1000 + n, 53), parts=parts) for parts in FRAGMENTS]
    others = [icmp_frame(), frame(A, B, GRE, bytes(8)), *NOT_IP, frame(A, B, TCP, tcp()[:7])]
    texts = {0: "steer_flow", 1: "steer_key key_5tuple"}
    with bound(netns_pair, texts, {0: FOUR, 1: FOUR}) as groups:
        groups.homes(flows)
        sent = sum(map(len, flows.values()))
        assert [group.selected for group in groups.statistics] == [sent, sent]
        groups.deliver(others)
        assert [group.dropped for group in groups.statistics] == [len(others) - 2, len(others)]


def key_flows(kind: str) -> dict[object, list[bytes]]:
    """Packets that a key puts together, although everything else about them differs."""
    hosts = [(f"10.{n}.0.1", f"10.0.{n}.2") for n in range(4)]
    flows: dict[object, list[bytes]] = {}
    for n in range(12):
        match kind:
            case "ports":
                ports = 1000 + n, 80
                flows[n] = [each for a, b in hosts for each in both_ways(tcp_frame, a, b, ports)]
                flows[n] += [frame(A, B, UDP, udp(*ports), options=b"\1" * 4 * words) for words in range(4)]
            case "hardware":
                flows[n] = over_link(mac(200), mac(n)) + over_link(mac(n), mac(200), 1)
            case "icmp":
                flows[n] = [icmp_frame(a, b, kind=n, note=note) for a, b in hosts for note in range(2)]
            case "all":
                a = f"10.1.{n}.1"
                there = ether(IP4, packet(a, B, TCP, tcp(1000, 80)), dst=MAC_B, src=MAC_A)
                back = ether(IP4, packet(B, a, TCP, tcp(80, 1000)), dst=MAC_A, src=MAC_B)
                flows[n] = [there, back]
    return flows


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("ports", "key_src_port <> key_dst_port"),
        ("hardware", "key_eth_src <> key_eth_dst"),
        ("icmp", "key_icmp_type"),
        ("all", "key_eth_type <> key_eth_src <> key_eth_dst <> key_5tuple <> key_ip_dscp"),
    ],
)
def test_s54_other_keys(netns_pair: Pair, kind: str, key: str) -> None:
    with bound(netns_pair, f"steer_key ({key})", FOUR) as groups:
        groups.homes(key_flows(kind))


# telephony


def call(number: int) -> list[bytes]:
    """An RTP stream on two even ports and its reports on the next ones, both ways."""
    a, b, ports = f"10.1.{number}.1", f"10.2.0.{number}", (5000 + 2 * number, 6000)
    frames = []
    for kind, shift in ((0, 0), (8, 0), (200, 1)):
        payload = bytes([0x80, kind]).ljust(12, b"\0")
        source, destination = (port + shift for port in ports)
        frames += [
            frame(a, b, UDP, udp(source, destination, payload)),
            frame(b, a, UDP, udp(destination, source, payload)),
        ]
    return frames


@pytest.mark.parametrize(("text", "sip_place"), [("steer_rtp", NOWHERE), ("steer_voip", ALL)])
def test_s55_telephony(netns_pair: Pair, text: str, sip_place: tuple[int, ...]) -> None:
    sip = [frame(A, B, UDP, udp(*ports, bytes(12))) for ports in ((40000, 5060), (5061, 5061))]
    sip.append(tcp_frame(ports=(5061, 9)))
    others = [tcp_frame(), udp_frame(), icmp_frame(), frame(A, B, UDP, udp(5004, 6000, bytes(12))), *NOT_IP]
    with bound(netns_pair, text, FOUR) as groups:
        groups.homes({number: call(number) for number in range(12)})
        assert groups.who(sip) == [sip_place] * 3
        assert groups.who(others) == [NOWHERE] * len(others)
