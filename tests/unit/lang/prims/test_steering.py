"""Steering hashes: their exact values, their symmetry, and what is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import ADDRESSES4, ADDRESSES6, ethernet, extended, ip4, ip6, tcp, udp
from support.handmade import FRAMES, IP4, IP6, LIMITED_BROADCAST, action, v4

from pfq.engine.steering import mix
from pfq.errors import RangeError
from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text

# Fields as they lie in memory, read as little endian: 10.0.0.1 ^ 10.0.0.2, and port 1024 ^ 80.
ADDRESSES_HASH = 0x0100000A ^ 0x0200000A
PORTS_HASH = 0x0004 ^ 0x5000
ADDRESSES6_HASH = 0x01000000 ^ 0x02000000

BY_FLOW = ADDRESSES_HASH ^ PORTS_HASH
UDP_PORTS_HASH = 0x0004 ^ 0x3500

FLOW_HASHES = {
    "tcp4": BY_FLOW,
    "tcp4 options": BY_FLOW,
    "tcp4 one tag": BY_FLOW,
    "tcp4 19 bytes": BY_FLOW,
    "udp4": ADDRESSES_HASH ^ UDP_PORTS_HASH,
    "icmp4": ADDRESSES_HASH,
    "gre4": ADDRESSES_HASH,
    "tcp4 first fragment": ADDRESSES_HASH,
    "tcp4 later fragment": ADDRESSES_HASH,
    "tcp6": ADDRESSES6_HASH ^ PORTS_HASH,
    "tcp6 three extensions": ADDRESSES6_HASH ^ PORTS_HASH,
    "tcp6 atomic fragment": ADDRESSES6_HASH ^ PORTS_HASH,
    "tcp6 first fragment": ADDRESSES6_HASH,
    "tcp6 later fragment": ADDRESSES6_HASH,
    "tcp6 nine extensions": ADDRESSES6_HASH,
    "icmp6": ADDRESSES6_HASH,
}
NOT_STEERED = ("nothing", "runt", "arp", "llc", "ip4 version 5", "tcp4 three tags")

ports = st.integers(0, 65535)


@pytest.mark.parametrize(("name", "hashed"), FLOW_HASHES.items(), ids=list(FLOW_HASHES))
def test_hash_of_the_flow(name: str, hashed: int) -> None:
    assert action("steer_flow", FRAMES[name]) == Action(Fanout.STEER, hash=hashed)


@pytest.mark.parametrize("name", [*NOT_STEERED, "tcp4 7 bytes", "udp4 7 bytes"])
def test_steer_flow_drops(name: str) -> None:
    assert action("steer_flow", FRAMES[name]) == Action(Fanout.DROP)


@pytest.mark.parametrize("name", FLOW_HASHES)
def test_hash_of_the_address_pair(name: str) -> None:
    hashed = ADDRESSES6_HASH if "6" in name else ADDRESSES_HASH
    assert action("steer_p2p", FRAMES[name]) == Action(Fanout.STEER, hash=hashed)


@pytest.mark.parametrize("name", NOT_STEERED)
def test_steer_p2p_drops(name: str) -> None:
    assert action("steer_p2p", FRAMES[name]) == Action(Fanout.DROP)


@pytest.mark.parametrize("side", ["src", "dst"])
def test_steer_p2p_sends_limited_broadcasts_to_all(side: str) -> None:
    frame = v4(udp(), 17, **{side: LIMITED_BROADCAST})  # type: ignore[arg-type]
    assert action("steer_p2p", frame) == Action(Fanout.COPY, ANY_CLASSES)


@given(a=st.binary(min_size=4, max_size=4), b=st.binary(min_size=4, max_size=4), source=ports, dest=ports)
def test_both_directions_of_a_flow_have_the_same_hash(a: bytes, b: bytes, source: int, dest: int) -> None:
    there = ethernet(ip4(tcp(source, dest), 6, a, b), IP4)
    back = ethernet(ip4(tcp(dest, source), 6, b, a), IP4)
    assert action("steer_flow", there) == action("steer_flow", back)


@given(a=st.binary(min_size=16, max_size=16), b=st.binary(min_size=16, max_size=16), source=ports, dest=ports)
def test_both_directions_over_ip6(a: bytes, b: bytes, source: int, dest: int) -> None:
    there = ethernet(ip6(udp(source, dest), 17, a, b), IP6)
    back = ethernet(ip6(udp(dest, source), 17, b, a), IP6)
    assert action("steer_flow", there) == action("steer_flow", back)


def test_all_fragments_of_a_datagram_stay_together() -> None:
    payloads = [tcp(), b"\1" * 24, b"\2" * 8]
    frames = [v4(payload, parts=parts) for payload, parts in zip(payloads, (0x2000, 0x2003, 0x0006), strict=True)]
    assert {action("steer_flow", frame).hash for frame in frames} == {ADDRESSES_HASH}


def test_all_fragments_of_a_datagram_stay_together_over_ip6() -> None:
    hashes = set()
    for payload, word in ((tcp(), 1), (b"\1" * 24, 24 | 1), (b"\2" * 8, 48)):
        first, whole = extended([(44, 0, word)], 6, payload)
        hashes.add(action("steer_flow", ethernet(ip6(whole, first, ADDRESSES6[0], ADDRESSES6[1]), IP6)).hash)
    assert hashes == {ADDRESSES6_HASH}


def test_steer_rrobin_and_steer_to_take_every_frame() -> None:
    for frame in FRAMES.values():
        assert action("steer_rrobin", frame) == Action(Fanout.ROBIN)
        assert action("steer_to 5", frame) == Action(Fanout.MEMBER, hash=5)


def test_there_is_no_end_point_with_a_negative_number() -> None:
    with pytest.raises(RangeError, match="there is no end-point number -1"):
        compile_text("steer_to (-1)")


def test_s07_steering_leaves_the_classes() -> None:
    frame = v4(tcp(), src=ADDRESSES4[2])
    assert action("classify 2 >-> steer_flow", frame).classes == 1 << 2


def rss(frame: bytes) -> int:
    decided = action("steer_rss", frame)
    assert decided == Action(Fanout.STEER, hash=decided.hash)
    assert 0 <= decided.hash < 1 << 32
    return decided.hash


def test_steer_rss_is_the_upper_half_of_a_sum_of_products() -> None:
    proto_and_ports = 6 << 32 | 0x50000004
    total = 0x0100000A * 0x9E3779B97F4A7C15 + 0x0200000A * 0xBF58476D1CE4E5B9 + proto_and_ports * 0x94D049BB133111EB
    assert rss(FRAMES["tcp4"]) == total % 2**64 // 2**32


@pytest.mark.parametrize("name", ["nothing", "runt", "arp", "llc", "ip4 version 5", "tcp4 three tags"])
def test_steer_rss_keeps_together_what_is_not_ip(name: str) -> None:
    assert rss(FRAMES[name]) == 0


def test_s50_steer_rss_gives_a_flow_one_hash() -> None:
    assert (
        rss(FRAMES["tcp4"]) == rss(FRAMES["tcp4 options"]) == rss(FRAMES["tcp4 one tag"]) == rss(FRAMES["tcp4 ttl 5"])
    )
    assert rss(FRAMES["tcp6"]) == rss(FRAMES["tcp6 three extensions"]) == rss(FRAMES["tcp6 atomic fragment"])


def test_steer_rss_tells_directions_ports_and_protocols_apart() -> None:
    a, b = ADDRESSES4[:2]
    there, back = v4(tcp(1024, 80), src=a, dst=b), v4(tcp(80, 1024), src=b, dst=a)
    same_ports, other_port = v4(udp(1024, 80), 17), v4(tcp(1024, 81))
    assert len({rss(frame) for frame in (there, back, same_ports, other_port)}) == 4


def test_steer_rss_takes_fragments_and_other_protocols_by_their_addresses() -> None:
    names = ("tcp4 first fragment", "tcp4 later fragment", "tcp4 7 bytes", "icmp4", "gre4")
    assert len({rss(FRAMES[name]) for name in names}) == 1
    assert len({rss(FRAMES[name]) for name in ("tcp6 first fragment", "tcp6 later fragment", "icmp6")}) == 1


def test_steer_rss_spreads_neighbours() -> None:
    """Of 4096 flows that differ in a few bits no end-point of 16 gets much more or less than its share."""
    clients = [bytes([10, 0, at // 64, at % 64]) for at in range(256)]
    shares = [0] * 16
    for client in clients:
        for source in range(1024, 1040):
            shares[mix(rss(v4(tcp(source, 443), src=client))) % 16] += 1
    assert all(192 <= share <= 320 for share in shares)
