"""D1, D6: what happens to the device while it is captured from, and the capture goes on."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from root.capture.harness import (
    check_identities,
    flow_frame,
    opened,
    packets,
    pinned,
    reading,
    send,
    settled,
)
from root.network import Pair, Sender, eventually, is_running, numbered

from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 20.0


@contextmanager
def pump(pair: Pair, rate_pps: int) -> Iterator[list[int]]:
    """Sends `flow_frame`s, whatever becomes of them, until the block ends; the list then has how many were taken."""
    stop, taken = threading.Event(), []

    def run(sender: Sender) -> None:
        number = refused = 0
        with pinned():
            while not stop.is_set():
                for _ in range(rate_pps // 1000):
                    try:
                        sender.send([flow_frame(number)])
                    except OSError:  # the device is down
                        refused += 1
                    number += 1
                time.sleep(0.001)
        taken.append(number - refused)

    with pair.sender() as sender, ThreadPoolExecutor() as pool:
        pumping = pool.submit(run, sender)
        try:
            yield taken
        finally:
            stop.set()
            pumping.result()


def test_D1_down_and_up(netns_pair: Pair, mode: HookChoice) -> None:
    """Packets come again by themselves each time, and those that arrived are all accounted for."""

    def more_than(count: int) -> bool:
        return capture.statistics().arrived > count

    ends = [(netns_pair.a, netns_pair.dev_a), (netns_pair.b, netns_pair.dev_b)]
    with opened(netns_pair, "ip >-> steer_flow", endpoints=2, hook=mode, snaplen=96) as capture:
        with reading(capture) as got, pump(netns_pair, 20_000) as taken:
            for turn in range(20):
                inside, name = ends[turn % 4 > 0]
                inside.run("ip", "link", "set", name, "down")
                inside.run("ip", "link", "set", name, "up")
                assert eventually(partial(more_than, capture.statistics().arrived + 100), PATIENCE_S)
        statistics = capture.statistics()
    check_identities(statistics)
    assert 2000 < statistics.arrived <= taken[0]
    for flow, endpoint in zip(got, statistics.endpoints, strict=True):
        flow.check()
        assert len(flow.rows) == endpoint.delivered


def test_D1_down_when_the_capture_begins(netns_pair: Pair, mode: HookChoice) -> None:
    pair = netns_pair
    pair.b.run("ip", "link", "set", pair.dev_b, "down")
    with opened(pair, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        pair.b.run("ip", "link", "set", pair.dev_b, "up")
        assert eventually(lambda: is_running(pair.a, pair.dev_a), PATIENCE_S)
        send(sender, map(flow_frame, range(100)))
        settled(capture, 100)


def test_D6_renamed_mtu_promiscuous(netns_pair: Pair, mode: HookChoice, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is logged, and the capture goes on."""
    pair = netns_pair
    caplog.set_level(logging.INFO, "pfq")
    with opened(pair, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        send(sender, map(numbered, range(10)))
        settled(capture, 10)
        for words in ("pfqt-b down", "pfqt-b name renamed", "renamed up"):
            pair.b.run("ip", "link", "set", *words.split())
        assert eventually(lambda: is_running(pair.b, "renamed"))
        for words in ("mtu 1400", "promisc on", "promisc off"):
            pair.b.run("ip", "link", "set", "renamed", *words.split())
        send(sender, map(numbered, range(10, 20)))
        settled(capture, 20)
        capture.stop()
        assert [packet.data for packet in packets(capture[0])] == list(map(numbered, range(20)))
    assert [record.getMessage() for record in caplog.records if record.name == "pfq.engine.upkeep"] == [
        "pfqt-b is down",
        "pfqt-b was renamed",
        "renamed is up",
        "renamed has another MTU",
        "renamed went into or out of promiscuous mode",
        "renamed went into or out of promiscuous mode",
    ]


def test_D6_the_mtu_grows(netns_pair: Pair, mode: HookChoice) -> None:
    """Longer frames are cut at the snap length that was chosen for the old MTU. Native XDP has its own limit."""
    pair = netns_pair
    limit = 3506 if mode == "xdp" else 9000
    with opened(pair, hook=mode) as capture, pair.sender() as sender:
        pair.b.run("ip", "link", "set", pair.dev_b, "mtu", str(limit))
        if mode == "xdp":
            with pytest.raises(subprocess.CalledProcessError):
                pair.a.run("ip", "link", "set", pair.dev_a, "mtu", str(limit + 1))
        pair.a.run("ip", "link", "set", pair.dev_a, "mtu", str(limit))
        frames = [numbered(0), numbered(1, limit + 14), numbered(2)]
        send(sender, frames)
        settled(capture, 3)
        capture.stop()
        got = packets(capture[0])
    assert [(packet.data, packet.len) for packet in got] == [(frame[:2016], len(frame)) for frame in frames]


@pytest.mark.parametrize("hook", ["xdp", "auto"])
def test_S5_the_peer_has_a_larger_mtu(netns_pair: Pair, hook: HookChoice) -> None:
    """No reason to refuse native XDP: frames may lie in several buffers then."""
    pair = netns_pair
    pair.a.run("ip", "link", "set", pair.dev_a, "mtu", "9000")
    with opened(pair, hook=hook, binding="inline", snaplen=9014) as capture, pair.sender() as sender:
        assert capture.attachment == "XDP (native) on pfqt-b"
        frames = [numbered(0), numbered(1, 1514)]
        send(sender, frames)
        settled(capture, 2)
        capture.stop()
        assert [packet.data for packet in packets(capture[0])] == frames


@pytest.mark.parametrize("netns_pair", [2], indirect=True)
def test_D6_the_number_of_queues_changes(netns_pair: Pair, mode: HookChoice) -> None:
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        for turn, queues in enumerate((1, 2, 1), 1):
            pair.a.run("ethtool", "-L", pair.dev_a, "tx", str(queues), check=False)
            pair.b.run("ethtool", "-L", pair.dev_b, "rx", str(queues), check=False)
            send(sender, map(flow_frame, range(100)))
            settled(capture, 100 * turn)
