"""L2, L4, L7, L9: readers that are too slow. What a ring has no room for is counted, exactly, and nothing else."""

from __future__ import annotations

import os

import numpy as np
import pytest
from root.capture.harness import (
    Flows,
    check_identities,
    flow_frame,
    flows,
    opened,
    packets,
    pinned,
    reading,
    send,
    settled,
)
from root.network import Pair, Sender, numbered

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def burst(sender: Sender, capture: Capture, first: int, count: int) -> None:
    """`count` packets at once, and waits until they have arrived."""
    assert send(sender, map(flow_frame, range(first, first + count))) == count
    settled(capture, first + count)


def read_all(capture: Capture) -> list[int]:
    """The numbers of all packets that wait at the first end-point."""
    found: list[int] = []
    while (batch := capture[0].read(timeout=0)) is not None:
        found += Flows(np.array(batch.data[:, :64]), np.array(batch.len), frozenset()).numbers.tolist()
    return found


def test_L2_stalled_consumer(netns_pair: Pair, mode: HookChoice) -> None:
    """The first packets wait in the ring, the others are lost; when the reader goes on so does the ring."""
    with opened(netns_pair, hook=mode, slots=2048, snaplen=96) as capture, netns_pair.sender() as sender:
        burst(sender, capture, 0, 10_000)
        (endpoint,) = capture.statistics().endpoints
        assert (endpoint.selected, endpoint.delivered, endpoint.lost) == (10_000, 2048, 7952)
        assert (endpoint.read, endpoint.waiting) == (0, 2048)
        assert read_all(capture) == list(range(2048))
        burst(sender, capture, 10_000, 1000)
        assert read_all(capture) == list(range(10_000, 11_000))
        statistics = capture.statistics()
    check_identities(statistics)
    assert statistics.lost == 7952


def test_L2_a_batch_that_is_held_is_not_overwritten(netns_pair: Pair, mode: HookChoice) -> None:
    with opened(netns_pair, hook=mode, slots=1024, snaplen=96) as capture, netns_pair.sender() as sender:
        burst(sender, capture, 0, 512)
        held = capture[0].read()
        assert held is not None
        burst(sender, capture, 512, 5000)
        assert capture.statistics().lost == 5000 - 512
        assert [held.bytes(i) for i in range(len(held))] == list(map(flow_frame, range(512)))
        assert read_all(capture) == list(range(512, 1024))
        burst(sender, capture, 5512, 1024)
        assert read_all(capture) == list(range(5512, 6536))
    check_identities(capture.statistics())


@pytest.mark.parametrize("slots", [512, 2048, 4096])
def test_L4_burst_absorption(netns_pair: Pair, mode: HookChoice, slots: int) -> None:
    """Of a burst into an empty ring exactly what is over its size is lost, wherever in the ring it begins."""
    sent = lost = 0
    with opened(netns_pair, hook=mode, slots=slots, snaplen=96) as capture, netns_pair.sender() as sender:
        for size in (slots // 2, slots, slots * 3 // 2, slots + 1, slots - 1) * 2:
            burst(sender, capture, sent, size)
            kept = min(size, slots)
            assert read_all(capture) == list(range(sent, sent + kept))
            sent, lost = sent + size, lost + size - kept
            statistics = capture.statistics()
            assert (statistics.delivered, statistics.lost) == (sent - lost, lost)
            check_identities(statistics)


def test_L7_slow_member_of_a_group(netns_pair: Pair) -> None:
    """One of four end-points stands still: it loses all but a ring full, the others lose nothing."""
    count, slots, stalled = 100_000, 32_768, 2
    with opened(netns_pair, endpoints=4, slots=slots, snaplen=96) as capture:
        with netns_pair.sender() as sender, reading(capture, 0.002, but=stalled) as got:
            assert send(sender, map(flow_frame, range(count)), 50_000) == count
            settled(capture, count)
        got.insert(stalled, flows(capture[stalled]))
        statistics = capture.statistics()
    check_identities(statistics)
    for number, (endpoint, received) in enumerate(zip(statistics.endpoints, got, strict=True)):
        received.check()
        kept = slots if number == stalled else count
        assert (endpoint.selected, endpoint.delivered, endpoint.lost) == (count, kept, count - kept)
        assert np.array_equal(received.numbers, np.arange(kept))


def test_L7_overload(netns_pair: Pair, mode: HookChoice) -> None:
    """A ring that is full again and again: what was not lost is whole and in order, and the counts agree."""
    count = 50_000
    with opened(netns_pair, endpoints=2, hook=mode, slots=512, snaplen=96) as capture:
        with netns_pair.sender() as sender, reading(capture, 0.02) as got:
            assert send(sender, map(flow_frame, range(count))) == count
            settled(capture, count)
        statistics = capture.statistics()
    check_identities(statistics)
    for endpoint, received in zip(statistics.endpoints, got, strict=True):
        received.check()
        assert endpoint.selected == count
        assert len(received.rows) == endpoint.delivered == count - endpoint.lost
        assert endpoint.lost > 0
        assert endpoint.delivered > 512, "the ring was filled more than once"


@pytest.mark.parametrize("netns_pair", [2], indirect=True)
def test_L9_queues(netns_pair: Pair, mode: HookChoice) -> None:
    """Packets of all queues are captured; XDP in the driver tells which queue."""
    each = 1000
    cpus = sorted(os.sched_getaffinity(0))[:2]
    with opened(netns_pair, hook=mode, slots=4096, snaplen=96) as capture, netns_pair.sender() as sender:
        sender.bypass_queueing()
        for number, cpu in enumerate(cpus):
            with pinned(cpu):
                sender.send(numbered(number) for _ in range(each))
        settled(capture, each * len(cpus))
        capture.stop()
        got = packets(capture[0])
        assert capture.statistics().endpoints[0].delivered == len(got) == each * len(cpus)
    if mode == "xdp":
        assert all(packet.queue == cpus[packet.data[17]] % 2 for packet in got)
    if mode != "xdp-generic":
        assert {packet.queue for packet in got} == ({0, 1} if mode == "xdp" else {0})
