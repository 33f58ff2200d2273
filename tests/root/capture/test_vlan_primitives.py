"""S1: what programs say about VLAN tags is the same in every mode, and the same as the interpreter says.

The interpreter sees the tag in the frame. Linux takes the outer one off before TC sees the packet, so
that the program must put together what it would have seen.
"""

from __future__ import annotations

import struct
from collections import Counter
from functools import cache

import pytest
from root.capture.harness import opened, packets, send, settled
from root.network import ETHERTYPE, Pair, Sender

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.engine.steering import Member, SteeringTable
from pfq.lang import to_program
from pfq.lang.interp import decide

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MACS = b"\xff" * 6 + b"\x02pfqt\x00"
CTAG, STAG, IP4, IP6 = 0x8100, 0x88A8, 0x0800, 0x86DD
Tag = tuple[int, int]

UDP = struct.pack(">HHHH", 1000, 53, 12, 0) + b"abcd"
UDP4 = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 32, 0, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))) + UDP
UDP6 = struct.pack(">IHBB16s16s", 6 << 28, 12, 17, 64, b"\x20" * 16, b"\x21" * 16) + UDP


def tagged(*tags: Tag, kind: int = IP4, payload: bytes = UDP4) -> bytes:
    """A frame with tags (EtherType, control information), outermost first."""
    words = [word for tag in tags for word in tag]
    return MACS + struct.pack(f">{len(words) + 1}H", *words, kind) + payload


FRAMES = {
    "none": tagged(),
    "0x8100": tagged((CTAG, 0x2064)),
    "0x88a8": tagged((STAG, 0x0FFF)),
    "0x88a8+0x8100": tagged((STAG, 100), (CTAG, 200)),
    "0x8100+0x8100": tagged((CTAG, 0xF12C), (CTAG, 5)),
    "priority": tagged((CTAG, 0xE000)),
    "zeros": tagged((CTAG, 0)),
    "priority+0x8100": tagged((CTAG, 0xE000), (CTAG, 100)),
    "three": tagged((STAG, 1), (STAG, 2), (CTAG, 3)),
    "four": tagged(*((CTAG, number) for number in (100, 101, 102, 103))),
    "other type": tagged((0x9100, 100)),
    "behind another type": tagged((0x9100, 100), (CTAG, 100)),
    "IPv6": tagged((CTAG, 4095), kind=IP6, payload=UDP6),
    "no IP": tagged((STAG, 101), kind=ETHERTYPE, payload=bytes(46)),
    "IPv6 by name": tagged((CTAG, 100), kind=IP6),
    "header cut": tagged((CTAG, 100), payload=UDP4[:19]),
    "IP cut": tagged((CTAG, 100), payload=UDP4[:27]),
    "2 bytes behind": tagged((CTAG, 100), payload=b"\x45\0"),
    "second cut": MACS + struct.pack(">4H", STAG, 100, CTAG, 0x0123),
    "long": tagged((CTAG, 100), payload=UDP4 + bytes(1400)),
    "longest": tagged((CTAG, 100), payload=UDP4 + bytes(1500 - len(UDP4) - 4)),
}
CUT = {
    "type alone": MACS + struct.pack(">H", CTAG),
    "half a tag": MACS + struct.pack(">HB", CTAG, 0x20),
    "tag alone": MACS + struct.pack(">HH", CTAG, 100),
    "half a type behind": MACS + struct.pack(">HHB", CTAG, 100, 8),
    "nothing behind": MACS + struct.pack(">HHH", STAG, 100, IP4),
    "1 byte behind": MACS + struct.pack(">HHHB", CTAG, 100, IP4, 0x45),
}
"""Linux throws these away when it takes off the tag, so that TC never sees them; XDP does."""

PREDICATES = (
    *("has_vlan", "has_vid 0", "has_vid 100", "has_vid 4095", "has_vid 1", "has_vid 300", "not has_vlan"),
    *("vlan_id [100, 4095]", "vlan_id [0]", "vlan_id [-1]", "vlan_id [0, 1]", "vlan_id [1, 2, 3]"),
    *("is_l3_proto 0x0800", "is_l3_proto 0x86dd", "is_l3_proto 0x8100", "is_l3_proto 0x88a8", "is_l3_proto 0x9100"),
    *(f"is_l3_proto {ETHERTYPE}", "is_ip", "is_ip6", "is_udp", "has_port 53", "has_addr 10.0.0.1", "is_flow"),
    *("pkt_len .== 46", "pkt_len .< 51", "pkt_len .>= 54", "pkt_len .> 1500", "ip_ttl .== 64"),
    *('bpf "vlan 100"', 'bpf "vlan and ip"', 'bpf "vlan and vlan"', 'bpf "len = 46"', 'bpf "ether[14:2] = 100"'),
    *("vlan_id [100] .&&. is_ip", "is_udp .^^. has_vlan", "ip_tot_len .== 32", "udp_source .== 1000"),
)
TALLY = " >-> ".join([*(f"when ({test}) (inc {number})" for number, test in enumerate(PREDICATES)), "drop"])

STEERING = (
    "steer_vlan",
    "steer_field 12 4",
    "steer_field 15 1",
    "steer_field_symmetric 12 16 4",
    "double_steer_field 14 18 2",
    "conditional (vlan_id [100]) (steer_to 1) (conditional (has_vid 0) (steer_to 2) drop)",
)


def frames_for(mode: HookChoice) -> dict[str, bytes]:
    return FRAMES | CUT if mode in ("xdp", "xdp-generic") else FRAMES


def test_the_frames_tell_the_predicates_apart() -> None:
    """Each of them holds for some and not for others, or it would prove nothing."""
    for test in PREDICATES:
        program = to_program(f"filter ({test})")
        assert len({decide(program, frame).fanout for frame in FRAMES.values()}) == 2, test


def counters(capture: Capture, sender: Sender, frame: bytes) -> list[int]:
    """By how much each counter grows when a frame comes."""
    before = capture.statistics()
    send(sender, [frame])
    after = settled(capture, before.arrived + 1)
    return [new - old for old, new in zip(before.groups[0].counters, after.groups[0].counters, strict=True)]


def test_S1_predicates_and_properties(netns_pair: Pair, mode: HookChoice) -> None:
    program = to_program(TALLY)
    with opened(netns_pair, TALLY, hook=mode, slots=64) as capture, netns_pair.sender() as sender:
        for name, frame in frames_for(mode).items():
            wanted = decide(program, frame).counters
            found = {number: count for number, count in enumerate(counters(capture, sender, frame)) if count}
            said = [PREDICATES[number] for number in wanted.keys() ^ found.keys()]
            assert found == wanted, (name, said)


ENDPOINTS = 3


@cache
def steered(text: str, frames: tuple[bytes, ...]) -> list[Counter[bytes]]:
    """What each end-point gets, by the references."""
    program, members = to_program(text), [Member(number) for number in range(ENDPOINTS)]
    got: list[Counter[bytes]] = [Counter() for _ in members]
    for frame in frames:
        action = decide(program, frame)
        for number in SteeringTable.of(members, action.classes).select(action):
            got[number][frame] += 1
    return got


@pytest.mark.parametrize("text", STEERING)
def test_S1_steering(netns_pair: Pair, mode: HookChoice, text: str) -> None:
    frames = tuple(frames_for(mode).values())
    wanted = steered(text, frames)
    assert sum(map(bool, wanted)) > 1, "or it would prove nothing"
    with opened(netns_pair, text, hook=mode, endpoints=ENDPOINTS, slots=64, snaplen=1600) as capture:
        with netns_pair.sender() as sender:
            send(sender, frames)
        settled(capture, len(frames))
        capture.stop()
        assert [Counter(packet.data for packet in packets(reader)) for reader in capture] == wanted


def test_S1_what_linux_throws_away_never_comes_to_tc(netns_pair: Pair) -> None:
    """The reason why these frames are left out above."""
    with opened(netns_pair, hook="auto", slots=64) as capture, netns_pair.sender() as sender:
        send(sender, [*CUT.values(), FRAMES["none"]])
        settled(capture, 1)
