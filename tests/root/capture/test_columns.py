"""What the header of a slot says of a packet."""

from __future__ import annotations

import time

import pytest
from root.capture.harness import Packet, flow_frame, opened, packets, pinned, send, settled
from root.network import Pair, numbered

from pfq.engine.capture import ClockName
from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

NS_PER_MS = 1_000_000


def sent_one_by_one(pair: Pair, mode: HookChoice, clock: ClockName, count: int) -> list[tuple[int, Packet, int]]:
    """Packets with the time of day before they were sent and after they had arrived."""
    times = []
    with opened(pair, hook=mode, clock=clock, snaplen=96) as capture, pair.sender() as sender, pinned():
        for number in range(count):
            before = time.time_ns()
            sender.send([numbered(number)])
            settled(capture, number + 1)
            times.append((before, time.time_ns()))
            time.sleep(0.003)
        capture.stop()
        got = packets(capture[0])
    return [(before, packet, after) for (before, after), packet in zip(times, got, strict=True)]


def test_time_stamps_to_the_nanosecond(netns_pair: Pair, mode: HookChoice) -> None:
    seen = sent_one_by_one(netns_pair, mode, "ns", 50)
    assert all(before <= packet.ts_ns <= after for before, packet, after in seen)


def test_coarse_time_stamps(netns_pair: Pair, mode: HookChoice) -> None:
    """Those of the kernel's last tick."""
    seen = sent_one_by_one(netns_pair, mode, "coarse", 50)
    assert all(before - 20 * NS_PER_MS <= packet.ts_ns <= after + NS_PER_MS for before, packet, after in seen)
    stamps = [packet.ts_ns for _, packet, _ in seen]
    assert stamps == sorted(stamps)


def test_no_time_stamps(netns_pair: Pair, mode: HookChoice) -> None:
    assert {packet.ts_ns for _, packet, _ in sent_one_by_one(netns_pair, mode, "none", 3)} == {0}


def fields(pair: Pair, mode: HookChoice, program: str, frames: list[bytes]) -> list[Packet]:
    with opened(pair, program, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        send(sender, frames)
        settled(capture, len(frames))
        capture.stop()
        return packets(capture[0])


def test_mark_state_group_device(netns_pair: Pair, mode: HookChoice) -> None:
    program = "conditional (has_src_port 1000) (mark 4294967295 >-> put_state 7) (put_state 4000000000)"
    got = fields(netns_pair, mode, program, [flow_frame(0), flow_frame(1), flow_frame(0)])
    assert [(packet.mark, packet.state) for packet in got] == [(0xFFFFFFFF, 7), (0, 4_000_000_000), (0xFFFFFFFF, 7)]
    assert {(packet.group, packet.ifindex, packet.queue) for packet in got} == {(0, netns_pair.ifindex_b, 0)}


def test_counters_of_the_user(netns_pair: Pair, mode: HookChoice) -> None:
    with opened(netns_pair, "when (has_src_port 1000) (inc 0) >-> inc 63", hook=mode) as capture:
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(320)))
        statistics = settled(capture, 320)
    (group,) = statistics.groups
    assert group.counters == (10, *(0,) * 62, 320)
