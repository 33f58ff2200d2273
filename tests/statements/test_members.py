"""Statements 56 to 60 on packets of a device: who is eligible, with which share, and when that changes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from root.network import Pair
from support.statements import (
    CONTROL,
    arp_frame,
    both_ways,
    bound,
    by_port,
    everyone,
    icmp_frame,
    tcp_frame,
    udp_frame,
)

from pfq.engine.hooks import Way
from pfq.engine.steering import Member
from pfq.errors import UsageError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

SOME = [tcp_frame(note=1), udp_frame(note=2), arp_frame(3), icmp_frame(note=4)]
FLOWS = {n: both_ways(udp_frame, f"10.1.{n}.1", f"10.2.0.{n}", (1000, 53)) for n in range(96)}


def test_s56_shares_follow_the_weights(netns_pair: Pair) -> None:
    """Only of eligible members: one of another class has no share, whatever its weight."""
    weights = {1: 1, 3: 2, 4: 5}
    members = [*(Member(number, weight) for number, weight in weights.items()), Member(9, 8, classes=4)]
    chance, count = random.Random(56), 3000
    hosts = [f"10.{chance.randrange(256)}.{n >> 8}.{n & 255}" for n in range(count)]
    with bound(netns_pair, "steer_flow", members) as groups:
        places = groups.who([udp_frame(host, ports=(chance.randrange(1, 65536), 53)) for host in hosts])
    assert all(len(place) == 1 for place in places)
    for number, weight in weights.items():
        assert abs(places.count((number,)) / count - weight / 8) < 0.02


@pytest.mark.parametrize("weight", [0, -1, 9, 100])
def test_s56_weights_are_1_to_8(weight: int) -> None:
    assert Member(0, 1).weight == 1
    assert Member(0, 8).weight == 8
    with pytest.raises(UsageError):
        Member(0, weight)


STEERINGS = {
    1: "steer_flow",
    2: "steer_rrobin",
    3: "steer_to 5",
    4: "double_steer_ip",
    5: "steer_key key_3tuple",
    6: "steer_rss",
}


def steered(count: int) -> list[bytes]:
    return [udp_frame(f"10.0.{n}.1", ports=(port, 53)) for port in STEERINGS for n in range(count)]


def test_s57_one_eligible_member_gets_everything(netns_pair: Pair) -> None:
    members = [Member(6, classes=2), Member(7), Member(8, classes=CONTROL)]
    with bound(netns_pair, by_port(STEERINGS), members) as groups:
        assert groups.who(steered(10)) == [(7,)] * 10 * len(STEERINGS)


def test_s57_with_no_eligible_member_the_packet_goes_nowhere(netns_pair: Pair) -> None:
    text = f"classify 9 >-> {by_port(STEERINGS)}"
    with bound(netns_pair, text, everyone(2)) as groups:
        frames = steered(10)
        assert groups.who(frames) == [()] * len(frames)
        (group,) = groups.statistics
        assert (group.selected, group.nobody, group.dropped) == (len(frames), len(frames), 0)
        groups.path.set_members(0, [])
        assert groups.who(frames) == [()] * len(frames)
        groups.path.set_members(0, [Member(1, classes=1 << 9)])
        assert groups.who(frames) == [(1,)] * len(frames)


def test_s58_several_groups_deliver_one_copy(netns_pair: Pair, way: Way) -> None:
    texts = {0: "unit", 1: "tcp >-> steer_to 0", 5: "broadcast", 63: "udp >-> steer_flow"}
    members = {0: [Member(0)], 1: everyone(2), 5: [Member(0), Member(2, classes=4)], 63: [Member(0), Member(3)]}
    with bound(netns_pair, texts, members, way) as groups:
        assert groups.who([tcp_frame(note=n) for n in range(5)]) == [(0, 2)] * 5
        places = groups.who([udp_frame(f"10.0.{n}.1") for n in range(20)])
        assert set(places) == {(0, 2), (0, 2, 3)}
        assert groups.who([arp_frame()]) == [(0, 2)]


def test_s59_control_members_get_nothing_by_broadcast(netns_pair: Pair) -> None:
    """A group works, too, when control members are all it has: its program runs and counts."""
    texts = {0: "broadcast", 1: "broadcast >-> when is_flow steer_flow", 2: "inc 0 >-> broadcast"}
    members = {
        0: [Member(0), Member(1, classes=CONTROL), Member(2, classes=CONTROL | 1)],
        1: [Member(1, 8, classes=CONTROL), Member(0)],
        2: [Member(1, classes=CONTROL)],
    }
    with bound(netns_pair, texts, members) as groups:
        assert groups.who(SOME) == [(0, 2)] * len(SOME)
        last = groups.statistics[2]
    assert (last.counters[0], last.nobody) == (len(SOME), len(SOME))


def moved(before: dict[int, int], after: dict[int, int]) -> set[tuple[int, int]]:
    """Where flows went from and to."""
    return {(before[flow], after[flow]) for flow in before if before[flow] != after[flow]}


def test_s60_the_mapping_changes_with_the_members_only(netns_pair: Pair) -> None:
    members = [Member(0), Member(1, 2), Member(2), Member(3)]
    with bound(netns_pair, "steer_flow", [*members, Member(7, classes=2)]) as groups:
        first = groups.homes(FLOWS)
        groups.deliver([tcp_frame(f"10.9.{n}.1") for n in range(200)])
        assert groups.homes(FLOWS) == first, "other traffic"

        def with_members(*changed: Member) -> dict[int, int]:
            groups.path.set_members(0, changed)
            return groups.homes(FLOWS)

        assert with_members(*reversed(members)) == first, "the same members"
        a, b, c, d = members
        without_c = with_members(a, b, d)
        left = moved(first, without_c)
        assert left
        assert {old for old, _ in left} == {2}, "only the flows of a member that leaves move"
        assert {new for _, new in left} == {0, 1, 3}, "to all others"
        assert with_members(*members) == first, "it is back"
        with_members(a, b, d)
        assert {old for old, _ in moved(without_c, with_members(b, d))} == {0}
        assert with_members(a, b, d) == without_c, "the last that left is back"
        assert with_members(*members) == first, "both are back"
        with_members(a, b, d)
        with_members(b, d)
        with_members(b, c, d)
        assert with_members(*members) == first, "both are back, the other one first"

        new = moved(first, with_members(*members, Member(7)))
        assert {new for _, new in new} == {7}, "a new member takes flows, and nothing else moves"
        assert {old for old, _ in new} == {0, 1, 2, 3}, "from all"
        assert {old for old, _ in moved(groups.homes(FLOWS), with_members(*members))} == {7}
        before = groups.homes(FLOWS)
        heavier = moved(before, with_members(a, b, c, replace(d, weight=8)))
        assert {new for _, new in heavier} == {3}
        lighter = moved(groups.homes(FLOWS), with_members(*members))
        assert {old for old, _ in lighter} == {3}
        before = groups.homes(FLOWS)
        in_another_class = moved(before, with_members(a, replace(b, classes=2), c, d))
        assert {old for old, _ in in_another_class} == {1}
        assert with_members(*members) == before, "in its class again"
    with bound(netns_pair, "steer_flow", members) as groups:
        assert groups.homes(FLOWS) == first, "started again"
