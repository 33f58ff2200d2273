"""Statements 43 to 50 on packets of a device: steering by flows, links, tags and hosts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations

import pytest
from root.network import Pair
from support.frames import tcp, udp
from support.statements import (
    ALL,
    ARP,
    EVERYONE,
    FOUR,
    FRAGMENTS,
    GRE,
    IP4,
    LIMITED_BROADCAST,
    NOT_IP,
    NOWHERE,
    TCP,
    UDP,
    A,
    B,
    arp_frame,
    both_ways,
    bound,
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

from pfq.engine.hooks import Way
from pfq.engine.steering import Member

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


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
        assert places == places_of_both(homes, pairs)
        assert {len(place) for place in places} == {1, 2}
        to_all = [arp_frame(src=source, dst=EVERYONE) for source in (GATEWAY, mac(1))]
        assert groups.who(to_all) == [ALL] * 2


def address(number: int) -> str:
    return f"10.0.{number}.{number}"


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
        assert places == places_of_both(homes, ((a, b) for a, b, _ in pairs))
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
        assert places == places_of_both(homes, pairs)
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
        assert places == places_of_both(homes, pairs)
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
