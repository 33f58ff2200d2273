"""Statements 38 to 42: tags, tunnels, Bloom filters, hosts, and what looks like telephony."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest
from root.network import Pair
from support.backends import WORLD
from support.frames import tcp, udp
from support.statements import (
    EVERYONE,
    IP4,
    MAC_A,
    MAC_B,
    TCP,
    UDP,
    A,
    B,
    Meanings,
    arp_frame,
    bound,
    ether,
    everyone,
    frame,
    icmp_frame,
    packet,
    tcp_frame,
    udp_frame,
)

from pfq.engine.hooks import Way
from pfq.lang import bloom_calc_p

A6, B6 = "2001:db8::a", "2001:db8::b"

# tags

VLAN_TESTS = ("has_vlan", "has_vid 5", "has_vid 7", "vlan_id [5, 7]", "vlan_id [-1]", "vlan_id [4095]", "vlan_id [9]")
VLAN_FILTERS = ("vlan", "vlan_id_filter [-1]", "vlan_id_filter [5, 7]")
ANY_ID, LISTED = ("has_vlan", "vlan_id [-1]"), "vlan_id [5, 7]"

TAGGED: dict[tuple[int, ...], set[str]] = {
    (): set(),
    (0,): set(),
    (0xE000,): set(),
    (1,): {*ANY_ID},
    (5,): {*ANY_ID, "has_vid 5", LISTED},
    (0xE005,): {*ANY_ID, "has_vid 5", LISTED},
    (7,): {*ANY_ID, "has_vid 7", LISTED},
    (4095,): {*ANY_ID, "vlan_id [4095]"},
    (9, 5): {*ANY_ID, "vlan_id [9]"},
    (5, 9): {*ANY_ID, "has_vid 5", LISTED},
}
"""What holds for the control words of the tags; the outer one counts."""


@pytest.mark.agree
@pytest.mark.parametrize("tags", TAGGED, ids=str)
def test_s38_vlan_tags(decide: Meanings, tags: tuple[int, ...]) -> None:
    for payload in (packet(A, B, TCP, tcp()), bytes(40)):
        each, holding = ether(IP4, payload, tags=tags), TAGGED[tags]
        assert decide.holding(each, *VLAN_TESTS) == holding
        named = {"vlan": "has_vlan", "vlan_id_filter [-1]": "vlan_id [-1]", "vlan_id_filter [5, 7]": LISTED}
        assert decide.passing(each, *VLAN_FILTERS) == {name for name, test in named.items() if test in holding}


@pytest.mark.root
@pytest.mark.usefixtures("nothing_left")
def test_s38_tags_that_linux_took_off(netns_pair: Pair, way: Way) -> None:
    """At TC the tag is no longer in the frame; the end-point gets the frame with it all the same."""
    text = " >-> ".join(f"when ({test}) (inc {n})" for n, test in enumerate(VLAN_TESTS))
    with bound(netns_pair, text, everyone(1), way) as groups:
        before = (0,) * 64
        for tags, wanted in TAGGED.items():
            assert groups.who([ether(IP4, packet(A, B, TCP, tcp()), tags=tags)]) == [(0,)]
            counters = groups.statistics[0].counters
            grown = {test for test, old, new in zip(VLAN_TESTS, before, counters, strict=False) if new > old}
            assert grown == wanted, tags
            before = counters


# tunnels

OUTER, MIDDLE, INNER = "172.16.0.1", "192.168.0.1", A
IN_ONE = frame(OUTER, "172.16.0.2", 4, packet(INNER, B, TCP, tcp()))
IN_TWO = frame(OUTER, "172.16.0.2", 4, packet(MIDDLE, "192.168.0.2", 4, packet(INNER, B, TCP, tcp())))
SIX_IN_FOUR = frame(OUTER, "172.16.0.2", 41, packet(A6, B6, UDP, udp()))


def levels(address: str) -> list[str]:
    """A filter that looks for the source address at the levels 0, 1, 2 and 3."""
    look = f"(src_addr {address})"
    return [look, f"shift {look}", f"shift (shift {look})", f"shift (shift (shift {look}))"]


@pytest.mark.agree
def test_s39_shift_looks_one_level_deeper(decide: Meanings) -> None:
    looks = [*levels(OUTER), *levels(MIDDLE), *levels(INNER), *levels(A6)]
    for each, places in (
        (IN_ONE, {OUTER: 0, INNER: 1}),
        (IN_TWO, {OUTER: 0, MIDDLE: 1, INNER: 2}),
        (SIX_IN_FOUR, {OUTER: 0, A6: 1}),
        (tcp_frame(), {INNER: 0}),
        (arp_frame(), {}),
    ):
        assert decide.passing(each, *looks) == {levels(address)[level] for address, level in places.items()}


@pytest.mark.agree
def test_s39_without_a_tunnel_there_is_no_ip_inside(decide: Meanings) -> None:
    looks = ("shift ip", "shift ip6", "shift tcp", "shift flow", "shift (addr 0.0.0.0/0)", "shift steer_flow")
    assert decide.passing(IN_ONE, *looks) == {*looks} - {"shift ip6"}
    assert decide.passing(SIX_IN_FOUR, *looks) == {"shift ip6", "shift flow", "shift steer_flow"}
    cut = frame(OUTER, "172.16.0.2", 4, packet(INNER, B, TCP, tcp())[:19])
    for each in (tcp_frame(), arp_frame(), udp_frame(A6, B6), cut):
        assert decide.passing(each, *looks, "shift (inv ip)") == {"shift (inv ip)"}


@pytest.mark.agree
def test_s39_the_level_is_restored(decide: Meanings) -> None:
    """Whether the action inside passes or drops."""
    here = f"src_addr {OUTER}"
    after = (
        f"shift tcp >-> {here}",
        f"shift (shift unit) >-> {here}",
        f"shift unit >-> src_addr {INNER}",
        f"inv (shift udp) >-> {here}",
        f"inv (shift (tcp >-> drop)) >-> {here}",
        f"par (shift drop) unit >-> {here}",
        f"shift (par (shift drop) (src_addr {INNER}))",
        f"shift (par (shift drop) ({here}))",
        f"shift (inv (shift drop) >-> src_addr {INNER})",
        f"shift (when is_tcp (shift unit) >-> src_addr {INNER}) >-> {here}",
    )
    assert decide.passing(IN_ONE, *after) == {*after} - {after[2], after[7]}


# Bloom filters

BINS, LISTED_ADDRESSES, TRIED = 2048, 200, 4000
CHANCE = random.Random(7)
MEMBERS = [str(IPv4Address(CHANCE.getrandbits(32))) for _ in range(LISTED_ADDRESSES)]
OTHERS = [str(IPv4Address(CHANCE.getrandbits(32))) for _ in range(TRIED)]


def listed(name: str, bins: int = BINS, addresses: list[str] = MEMBERS, length: int = 32) -> str:
    return f"{name} {bins} [{', '.join(addresses)}] {length}"


@pytest.mark.agree
def test_s40_no_false_negatives_and_few_false_positives(decide: Meanings) -> None:
    text = f"filter ({listed('bloom_dst')})"
    assert all(decide.passes(text, udp_frame("0.0.0.0", address)) for address in MEMBERS)
    found = sum(decide.passes(text, udp_frame("0.0.0.0", address)) for address in OTHERS)
    expected = bloom_calc_p(LISTED_ADDRESSES, BINS) * TRIED
    assert expected == pytest.approx((1 - (1 - 1 / BINS) ** (4 * LISTED_ADDRESSES)) ** 4 * TRIED)
    assert 0.6 * expected < found < 1.6 * expected


@pytest.mark.agree
def test_s40_sides_and_context(decide: Meanings) -> None:
    some = ["10.0.0.1", "10.0.0.9"]
    names = ("bloom", "bloom_src", "bloom_dst")
    tests = {name: listed(name, 65536, some) for name in names}
    filters = {name: listed(f"{name}_filter", 65536, some) for name in names}
    contexts = {f"{side} ({filters[name]})": (side, name) for side in ("src", "dst") for name in names}
    for each, sides in (
        (tcp_frame("10.0.0.1", "10.7.0.2"), {"src"}),
        (icmp_frame("10.7.0.1", "10.0.0.9"), {"dst"}),
        (udp_frame("10.0.0.9", "10.0.0.1"), {"src", "dst"}),
        (udp_frame("10.7.0.1", "10.7.0.2"), set()),
        (udp_frame(A6, B6), set()),
        (arp_frame(), set()),
    ):
        wanted = {f"bloom_{side}" for side in sides} | ({"bloom"} if sides else set())
        assert decide.holding(each, *tests.values()) == {tests[name] for name in wanted}
        assert decide.passing(each, *filters.values()) == {filters[name] for name in wanted}
        passed = {contexts[text] for text in decide.passing(each, *contexts)}
        fixed = {(context, f"bloom_{side}") for context in ("src", "dst") for side in sides}
        assert passed == fixed | {(side, "bloom") for side in sides}


@pytest.mark.agree
def test_s40_addresses_are_compared_under_the_prefix(decide: Meanings) -> None:
    tests = {length: listed("bloom_src", 65536, ["10.1.2.3"], length) for length in (32, 24, 8, 0)}
    for address, lengths in {
        "10.1.2.3": {32, 24, 8, 0},
        "10.1.2.200": {24, 8, 0},
        "10.77.88.99": {8, 0},
        "192.168.3.4": {0},
    }.items():
        found = decide.holding(tcp_frame(address, B), *tests.values())
        assert found == {tests[length] for length in lengths}, address


# hosts

GROUP = bytes.fromhex("01005e000001")


@pytest.mark.agree
def test_s41_incoming_is_what_is_for_us(decide: Meanings) -> None:
    world = replace(WORLD, hosts=frozenset(map(ip_address, ("10.0.0.77", A6))))
    for each, incoming in (
        (arp_frame(dst=EVERYONE), True),
        (arp_frame(dst=GROUP), True),
        (ether(0x88B5, bytes(46), dst=GROUP), True),
        (arp_frame(), False),
        (arp_frame(src=GROUP), False),
        (ether(IP4, packet(A, B, TCP, tcp()), dst=GROUP), True),
        (tcp_frame(A, B), False),
        (tcp_frame(A, "10.0.0.77"), True),
        (tcp_frame("10.0.0.77", B), True),
        (udp_frame(B6, A6), True),
        (udp_frame(B6, "2001:db8::c"), False),
    ):
        assert decide.passes("filter is_incoming_host", each, world) is incoming
        assert decide.passes("incoming_host", each, world) is incoming


# telephony

TELEPHONY = ("rtp", "rtcp", "sip", "voip")
PAYLOAD_TYPES = {*range(19), *range(96, 256), 25, 26, 28, 31, 32, 33, 34}
"""Of RTP on two even ports, marker bit included."""


def media(ports: tuple[int, int], kind: int = 0, *, version: int = 2, proto: int = UDP, size: int = 20) -> bytes:
    """A datagram of a media stream; `size` counts from its UDP header on."""
    payload = bytes([version << 6, kind]) + bytes(10)
    return frame(A, B, proto, (udp(*ports, payload) if proto == UDP else tcp(*ports))[:size])


def telephony(decide: Meanings, each: bytes) -> set[str]:
    """What the packet looks like, by predicates and by filters."""
    found = decide.passing(each, *TELEPHONY)
    assert decide.holding(each, *(f"is_{name}" for name in TELEPHONY)) == {f"is_{name}" for name in found}
    return found


@pytest.mark.agree
def test_s42_payload_types(decide: Meanings) -> None:
    for kind in range(256):
        assert telephony(decide, media((5004, 6000), kind)) == ({"rtp", "voip"} if kind in PAYLOAD_TYPES else set())
        assert telephony(decide, media((5005, 6001), kind)) == ({"rtcp", "voip"} if kind == 200 else set())
        assert telephony(decide, media((5004, 6001), kind)) == {"rtp", "voip"}


RTP, SIP, NOTHING = {"rtp", "voip"}, {"sip", "voip"}, set()


@pytest.mark.agree
@pytest.mark.parametrize(
    ("each", "wanted"),
    [
        (media((1024, 1024)), RTP),
        (media((1022, 5004)), NOTHING),
        (media((5004, 1023)), NOTHING),
        (media((5004, 6000), version=1), NOTHING),
        (media((5004, 6000), version=3), NOTHING),
        (media((5004, 6000), size=19), NOTHING),
        (media((5004, 6000), proto=TCP), NOTHING),
        (media((5060, 6000)), SIP),
        (media((6000, 5061)), SIP),
        (media((80, 5060)), SIP),
        (media((5060, 80), version=0), SIP),
        (media((5061, 6000), 77), SIP),
        (media((40000, 5060), proto=TCP), SIP),
        (media((5062, 6000)), RTP),
        (media((5059, 6001)), NOTHING),
        (arp_frame(), NOTHING),
        (ether(IP4, packet(A, B, UDP, media((5004, 6000))[34:]), dst=MAC_A, src=MAC_B), RTP),
        (frame(A, B, UDP, media((5004, 6000))[34:], options=b"\1" * 8), RTP),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else "/".join(sorted(value)) or "nothing",
)
def test_s42_what_telephony_looks_like(decide: Meanings, each: bytes, wanted: set[str]) -> None:
    assert telephony(decide, each) == wanted
