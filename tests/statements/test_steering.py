"""Statements 43 to 55 on packets of a device: which end-points each steering gives a packet to."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import combinations, permutations

import pytest
from root.network import Pair
from support.frames import tcp, udp
from support.statements import (
    ARP,
    EVERYONE,
    GRE,
    IP4,
    LIMITED_BROADCAST,
    MAC_A,
    MAC_B,
    TCP,
    UDP,
    A,
    B,
    arp_frame,
    both_ways,
    bound,
    by_port,
    ether,
    everyone,
    frame,
    icmp_frame,
    mac,
    packet,
    tcp_frame,
    udp_frame,
)

from pfq.engine.hooks import Way
from pfq.engine.steering import Member
from pfq.errors import RangeError
from pfq.lang import compile_text

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOUR = everyone(4)
ALL = (0, 1, 2, 3)
NOWHERE: tuple[int, ...] = ()
NOT_IP = [arp_frame(), arp_frame(dst=EVERYONE), ether(0x88B5, bytes(46)), ether(46, b"\xaa\xaa\x03" + bytes(43))]
FRAGMENTS = (0x2000, 0x2001, 0x0002)
"""Flags and offset of the first, a middle and the last fragment of a datagram."""


def test_s43_steer_flow(netns_pair: Pair, way: Way) -> None:
    flows: dict[object, list[bytes]] = {}
    for n in range(12):
        six = f"2001:db8::1:{n}", "2001:db8::2"
        flows["tcp", n] = both_ways(tcp_frame, A, B, (1000 + n, 80))
        flows["udp", n] = both_ways(udp_frame, f"10.1.{n}.1", "10.2.0.2", (5000, 53))
        flows["tcp6", n] = both_ways(tcp_frame, *six, (1000, 80))
        a, b = f"10.3.{n}.1", "10.4.0.2"
        flows["pair", n] = [
            icmp_frame(a, b),
            icmp_frame(b, a, 0),
            frame(b, a, GRE, bytes(8)),
            frame(a, b, 50, bytes(9)),
        ]
        c = f"10.5.{n}.1"
        flows["datagram", n] = [frame(c, B, UDP, udp(4000 + n, 53), parts=parts) for parts in FRAGMENTS]
    with bound(netns_pair, "steer_flow", FOUR, way) as groups:
        found = groups.homes(flows)
        for kind in ("tcp", "udp", "tcp6", "pair"):
            assert len({found[kind, n] for n in range(12)}) > 1, f"{kind} is spread"
        cut = frame(A, B, TCP, tcp()[:7])
        assert groups.who([*NOT_IP, cut]) == [NOWHERE] * 5


def test_s44_steer_p2p(netns_pair: Pair) -> None:
    flows = {}
    for n in range(12):
        a, b = f"10.1.{n}.1", "10.2.0.2"
        ways = [*both_ways(tcp_frame, a, b, (1000, 80)), *both_ways(udp_frame, a, b, (1001, 53), 1)]
        ways += [icmp_frame(a, b), icmp_frame(b, a, 0), frame(b, a, GRE, bytes(8))]
        flows[n] = [*ways, *(frame(a, b, UDP, udp(), parts=parts) for parts in FRAGMENTS)]
    members = [*FOUR[:3], Member(3, classes=1 << 7)]
    with bound(netns_pair, "steer_p2p", members) as groups:
        assert set(groups.homes(flows).values()) <= {0, 1, 2}
        limited = [
            udp_frame(A, LIMITED_BROADCAST),
            icmp_frame("10.9.9.9", LIMITED_BROADCAST),
            udp_frame(LIMITED_BROADCAST, B),
        ]
        assert groups.who(limited) == [ALL] * 3
        assert groups.who([udp_frame(A, "255.255.255.254")])[0] != ALL
        assert groups.who(NOT_IP) == [NOWHERE] * len(NOT_IP)


def over_link(a: bytes, b: bytes, note: int = 0) -> list[bytes]:
    """Frames of several protocols from one hardware address to another."""
    return [
        arp_frame(note, dst=b, src=a),
        ether(IP4, packet(f"10.0.{note}.1", B, TCP, tcp()), dst=b, src=a),
        ether(0x88B5, note.to_bytes(46, "big"), dst=b, src=a),
    ]


def test_s45_steer_link(netns_pair: Pair) -> None:
    flows = {n: over_link(mac(1), mac(n)) + over_link(mac(n), mac(1), 1) for n in range(2, 16)}
    members = [*FOUR[:3], Member(3, classes=1 << 7)]
    with bound(netns_pair, "steer_link", members) as groups:
        groups.homes(flows)
        assert groups.who([*over_link(mac(1), EVERYONE), *over_link(EVERYONE, mac(1), 1)]) == [ALL] * 6


def test_s46_steer_vlan(netns_pair: Pair, way: Way) -> None:
    """At TC Linux has taken the tag off the frame."""
    flows = {
        number: [
            ether(IP4, packet(f"10.0.{n}.1", B, TCP, tcp()), tags=[priority << 13 | number])
            for n, priority in enumerate((0, 0, 5))
        ]
        + [ether(ARP, bytes(28), tags=[number, 7])]
        for number in range(1, 16)
    }
    with bound(netns_pair, "steer_vlan", FOUR, way) as groups:
        groups.homes(flows)
        untagged = [tcp_frame(), arp_frame(), ether(IP4, packet(A, B, TCP, tcp()), tags=[0xE000])]
        assert groups.who(untagged) == [NOWHERE] * 3


GATEWAY = mac(99)
HOSTS = range(1, 8)


def test_s47_steer_local_link(netns_pair: Pair) -> None:
    text = f'steer_local_link "{GATEWAY.hex(":")}"'
    with bound(netns_pair, text, FOUR) as groups:
        homes = groups.homes({h: over_link(mac(h), GATEWAY) + over_link(GATEWAY, mac(h), 1) for h in HOSTS})
        pairs = list(permutations(HOSTS, 2))
        places = groups.who([arp_frame(src=mac(a), dst=mac(b)) for a, b in pairs])
        assert places == [tuple(sorted({homes[a], homes[b]})) for a, b in pairs]
        assert {len(place) for place in places} == {1, 2}
        to_all = [arp_frame(src=source, dst=EVERYONE) for source in (GATEWAY, mac(1))]
        assert groups.who(to_all) == [ALL] * 2


def address(number: int) -> str:
    return f"10.0.{number}.{number}"


def value(number: int) -> bytes:
    """Three bytes that a field of that size can be."""
    return bytes([number, 0, number])


@pytest.mark.parametrize(
    ("text", "between"),
    [
        ("double_steer_ip", lambda a, b, note: udp_frame(address(a), address(b), note=note)),
        ("double_steer_mac", lambda a, b, note: arp_frame(note, src=mac(a), dst=mac(b))),
    ],
    ids=["ip", "mac"],
)
def test_s48_double_steering(netns_pair: Pair, text: str, between: Callable[[int, int, int], bytes]) -> None:
    """A host that sends to itself shows its home, which gets all its other packets, too."""
    with bound(netns_pair, text, FOUR) as groups:
        homes = groups.homes({h: [between(h, h, note) for note in range(2)] for h in HOSTS})
        pairs = [(a, b, note) for a, b in permutations(HOSTS, 2) for note in range(2)]
        places = groups.who([between(*pair) for pair in pairs])
        assert places == [tuple(sorted({homes[a], homes[b]})) for a, b, _ in pairs]
        assert {len(place) for place in places} == {1, 2}, "one copy where both are the same"
        to_all = udp_frame(A, LIMITED_BROADCAST) if text == "double_steer_ip" else arp_frame(dst=EVERYONE)
        assert groups.who([to_all]) == [ALL]


def with_remotes(local: str, note: int = 0) -> list[bytes]:
    """Packets between an address and some outside of 10.0.0.0/8, both ways, of several protocols."""
    remotes = [f"192.168.{n}.1" for n in range(3)]
    frames = [each for remote in remotes for each in both_ways(udp_frame, local, remote, (1000 + note, 53), 1)]
    return [*frames, icmp_frame(local, "8.8.8.8"), icmp_frame("8.8.4.4", local)]


REMOTE = [udp_frame("192.168.0.1", "192.168.0.2"), tcp_frame("9.255.255.255", "11.0.0.0"), *NOT_IP]


def test_s49_steer_local_ip(netns_pair: Pair) -> None:
    with bound(netns_pair, "steer_local_ip 10.0.0.0/8", FOUR) as groups:
        homes = groups.homes({h: with_remotes(address(h)) for h in HOSTS})
        pairs = list(permutations(HOSTS, 2))
        places = groups.who([tcp_frame(address(a), address(b)) for a, b in pairs])
        assert places == [tuple(sorted({homes[a], homes[b]})) for a, b in pairs]
        assert groups.who(REMOTE) == [NOWHERE] * len(REMOTE)
        limited = udp_frame(address(1), LIMITED_BROADCAST), udp_frame("192.168.0.1", LIMITED_BROADCAST)
        assert groups.who(limited) == [ALL] * 2


def test_s49_steer_local_net(netns_pair: Pair) -> None:
    def hosts(net: int) -> list[str]:
        return [f"10.0.{net}.{h}" for h in (0, 1, 77, 255)]

    with bound(netns_pair, "steer_local_net 10.0.0.0 8 24", FOUR) as groups:
        homes = groups.homes({net: [each for host in hosts(net) for each in with_remotes(host)] for net in HOSTS})
        pairs = list(combinations(HOSTS, 2))
        places = groups.who([tcp_frame(hosts(a)[1], hosts(b)[2]) for a, b in pairs])
        assert places == [tuple(sorted({homes[a], homes[b]})) for a, b in pairs]
        inside = groups.who([tcp_frame(hosts(net)[1], hosts(net)[2]) for net in HOSTS])
        assert inside == [(homes[net],) for net in HOSTS]
        assert groups.who(REMOTE) == [NOWHERE] * len(REMOTE)


def test_s50_steer_rss(netns_pair: Pair) -> None:
    flows: dict[object, list[bytes]] = {}
    for n in range(12):
        ports = 1000 + n, 80
        flows["tcp", n] = [tcp_frame(ports=ports, note=note) for note in range(3)]
        flows["tcp", n].append(frame(A, B, TCP, tcp(*ports), ttl=9, options=b"\1" * 4))
        flows["icmp", n] = [icmp_frame(f"10.1.{n}.1", B, note=note) for note in range(3)]
    with bound(netns_pair, "steer_rss", FOUR) as groups:
        groups.homes(flows)


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
        assert places == [tuple(sorted({homes[a], homes[b]})) for a, b in pairs]
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
    sip = [udp_frame(ports=(40000, 5060)), tcp_frame(ports=(5061, 40000)), udp_frame(ports=(5060, 5060))]
    sip = [frame(A, B, UDP, udp(*ports, bytes(12))) for ports in ((40000, 5060), (5061, 5061))] + [
        tcp_frame(ports=(5061, 9))
    ]
    others = [tcp_frame(), udp_frame(), icmp_frame(), frame(A, B, UDP, udp(5004, 6000, bytes(12))), *NOT_IP]
    with bound(netns_pair, text, FOUR) as groups:
        groups.homes({number: call(number) for number in range(12)})
        assert groups.who(sip) == [sip_place] * 3
        assert groups.who(others) == [NOWHERE] * len(others)
