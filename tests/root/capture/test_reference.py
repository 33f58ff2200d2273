"""Live packets are decided on and steered as the interpreter and the reference of the steering table say."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from root.capture.harness import opened, packets, send, settled
from root.network import Pair
from support import handmade
from support import packets as line_packets
from support.frames import CAPTURES, ethernet_captures, ethernet_frames

from pfq.engine.hooks import HookChoice
from pfq.engine.steering import Member, SteeringTable
from pfq.lang import to_program
from pfq.lang.action import Fanout
from pfq.lang.interp import decide

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

ENDPOINTS = 4
SNAPLEN = 2016
SHORTEST, LONGEST = 14, 1514
VLAN_TYPES = (b"\x81\x00", b"\x88\xa8")
SHORTEST_TAGGED = 20
"""Linux drops shorter frames with a tag before TC sees them."""

PROGRAMS = {
    "steer_flow": "ip >-> steer_flow",
    "steer_p2p": "steer_p2p",
    "steer_rrobin": "tcp >-> steer_rrobin",
    "steer_to": "conditional is_tcp (steer_to 2) (conditional is_udp (steer_to 7) drop)",
    "classes": "when is_icmp broadcast >-> when is_udp (classify 3) >-> when (has_port 80) drop",
    "broadcast": "broadcast",
    "mixed": "conditional (has_port 80) steer_rrobin (conditional is_ip6 steer_p2p (inv udp)) >-> when is_flow kernel",
}

PREDICATES = (
    *("is_ip", "is_ip6", "is_tcp", "is_udp", "is_icmp", "is_flow", "not is_ip", "is_tcp .^^. is_ip6"),
    *("has_port 80", "has_src_port 53", "has_dst_port 443", "has_addr 10.0.0.0/8", "has_src_addr 10.0.0.1"),
    *("has_dst_addr 2001:db8::/32", "has_addr fe80::/10", "ip_ttl .> 63", "ip_tot_len .<= 60", "tcp_source .< 1024"),
    *("tcp_dest .== 80", "udp_source ./= 53", "udp_dest .>= 1024", "ip_ttl `any_bit` 3", "tcp_dest `all_bit` 80"),
)
TALLY = " >-> ".join(f"when ({test}) (inc {index})" for index, test in enumerate(PREDICATES))


@cache
def replayed() -> tuple[bytes, ...]:
    return tuple(ethernet_frames(CAPTURES / "pcapplusplus-example.pcap"))


@cache
def odd() -> tuple[bytes, ...]:
    """Malformed and rare frames, and the real ones of the captures that are not about ordinary traffic."""
    made = [frame for family in line_packets.FAMILIES.values() for frame, _ in family()]
    real = [frame for path in ethernet_captures() for frame in list(ethernet_frames(path))[:40]]
    every = dict.fromkeys([*handmade.FRAMES.values(), *made, *real])
    return tuple(frame for frame in every if SHORTEST <= len(frame) <= LONGEST)


def reach(frame: bytes, mode: HookChoice) -> bool:
    """Whether a frame comes as far as the program."""
    is_tagged = frame[12:14] in VLAN_TYPES
    return mode in ("xdp", "xdp-generic") or not is_tagged or len(frame) >= SHORTEST_TAGGED


@cache
def steered(text: str, frames: tuple[bytes, ...]) -> tuple[list[list[bytes]], Counter[int]]:
    """What each end-point gets, and what the user's counters hold, by the references."""
    program, members = to_program(text), [Member(number) for number in range(ENDPOINTS)]
    got: list[list[bytes]] = [[] for _ in members]
    counters: Counter[int] = Counter()
    turn = 0
    for frame in frames:
        action = decide(program, frame)
        counters.update(action.counters)
        for number in SteeringTable.of(members, action.classes).select(action, turn):
            got[number].append(frame)
        turn += action.fanout is Fanout.ROBIN
    return got, counters


def check(pair: Pair, mode: HookChoice, text: str, frames: tuple[bytes, ...]) -> None:
    frames = tuple(frame for frame in frames if reach(frame, mode))
    wanted, counters = steered(text, frames)
    with opened(pair, text, hook=mode, endpoints=ENDPOINTS, snaplen=SNAPLEN, slots=8192) as capture:
        with pair.sender() as sender:
            send(sender, frames)
        statistics = settled(capture, len(frames))
        capture.stop()
        for reader, expected in zip(capture, wanted, strict=True):
            got = packets(reader)
            assert [(packet.data, packet.len) for packet in got] == [(frame, len(frame)) for frame in expected]
    assert statistics.lost == 0
    assert {i: n for i, n in enumerate(statistics.groups[0].counters) if n} == dict(counters)


@pytest.mark.parametrize("text", PROGRAMS.values(), ids=list(PROGRAMS))
def test_a_replayed_capture_is_steered_as_the_reference_says(netns_pair: Pair, mode: HookChoice, text: str) -> None:
    check(netns_pair, mode, text, replayed())


@pytest.mark.parametrize("text", [TALLY, PROGRAMS["steer_flow"], PROGRAMS["classes"]], ids=["tally", "flow", "classes"])
def test_M1_odd_frames(netns_pair: Pair, mode: HookChoice, text: str) -> None:
    assert len(odd()) > 500
    check(netns_pair, mode, text, odd())
