"""D1 to D4, D6: what happens to the device while it is captured from."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

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
from root.network import Namespace, Pair, Sender, eventually, is_running, namespace, numbered

from pfq.engine.hooks import HookChoice
from pfq.errors import DeviceGoneError, DeviceMissingError
from pfq.ring.reader import Reader

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 20.0
WAKE_S = 0.5


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
    with opened(netns_pair, "ip >-> steer_flow", endpoints=2, hook=mode, snaplen=96) as capture:
        with reading(capture) as got:
            with pump(netns_pair, 20_000) as taken:
                for turn in range(20):
                    inside, name = (netns_pair.b, netns_pair.dev_b) if turn % 4 else (netns_pair.a, netns_pair.dev_a)
                    inside.run("ip", "link", "set", name, "down")
                    inside.run("ip", "link", "set", name, "up")
                    before = capture.statistics().arrived
                    assert eventually(lambda b=before: capture.statistics().arrived > b + 100, PATIENCE_S)
        statistics = capture.statistics()
    check_identities(statistics)
    assert 2000 < statistics.arrived <= taken[0]
    for flow, endpoint in zip(got, statistics.endpoints, strict=True):
        flow.check()
        assert len(flow.rows) == endpoint.delivered


def drained(reader: Reader) -> tuple[int, str, float]:
    """Packets read until the device is gone, why it is, and when that was noticed."""
    count = 0
    try:
        for batch in reader:
            count += len(batch)
    except DeviceGoneError as error:
        return count, error.message, time.monotonic()
    raise AssertionError("the reader ended without an error")


def delete(inside: Namespace, device: str) -> None:
    inside.run("ip", "link", "del", device)


@pytest.mark.parametrize("end", ["a", "b"])
def test_D2_the_device_is_deleted_while_readers_block(netns_pair: Pair, mode: HookChoice, end: str) -> None:
    """What had arrived is read first; then every reader is told, soon."""
    pair = netns_pair
    with ThreadPoolExecutor() as pool, opened(pair, endpoints=3, hook=mode, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, map(flow_frame, range(100)))
        settled(capture, 100)
        waiting = [pool.submit(drained, capture[number]) for number in (0, 1)]
        assert eventually(lambda: capture.statistics().endpoints[1].read == 100)
        time.sleep(0.1)
        delete(pair.a, pair.dev_a) if end == "a" else delete(pair.b, pair.dev_b)
        start = time.monotonic()
        for count, message, end_time in (future.result(timeout=PATIENCE_S) for future in waiting):
            assert (count, message) == (100, "the device `pfqt-b` disappeared while it was captured from")
            assert end_time - start < WAKE_S
        assert drained(capture[2])[0] == 100, "who reads later gets the packets as well"
        capture.stop()
        statistics = capture.statistics()
        with pytest.raises(DeviceMissingError, match="there is no network device `pfqt-b`"):
            opened(pair)
    assert capture.statistics() == statistics
    check_identities(statistics)
    assert statistics.arrived == 100


@pytest.mark.parametrize("index", [12, 20])
def test_D3_deleted_and_recreated_with_the_same_name(netns_pair: Pair, mode: HookChoice, index: int) -> None:
    """The new device is another one, even with the old number: only a new capture gets its packets."""
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as old:
        delete(pair.b, pair.dev_b)
        name = ["ip", "link", "add", pair.dev_a, "index", "11", "netns", pair.a.name, "type", "veth", "peer"]
        subprocess.run([*name, "name", pair.dev_b, "index", str(index), "netns", pair.b.name], check=True)
        for inside, device in ((pair.a, pair.dev_a), (pair.b, pair.dev_b)):
            inside.run("ip", "link", "set", device, "up")
        assert eventually(lambda: is_running(pair.b, pair.dev_b))
        assert drained(old[0])[0] == 0
        with opened(pair, hook=mode, snaplen=96) as new, pair.sender() as sender:
            send(sender, map(flow_frame, range(50)))
            settled(new, 50)
            assert old.statistics().arrived == 0
            old.close()
            send(sender, map(flow_frame, range(50)))
            settled(new, 100)


def test_D4_the_namespace_is_deleted(netns_pair: Pair, mode: HookChoice) -> None:
    """A capture keeps its namespace, which goes with the capture."""
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as capture, pair.sender() as sender:
        pair.b.remove()
        send(sender, map(flow_frame, range(50)))
        settled(capture, 50)
    assert eventually(lambda: pair.dev_a not in pair.a.run("ip", "link", "show"), PATIENCE_S)


def test_D4_the_peers_namespace_is_deleted(netns_pair: Pair, mode: HookChoice) -> None:
    pair = netns_pair
    with opened(pair, hook=mode, snaplen=96) as capture:
        with pair.sender() as sender:
            send(sender, map(flow_frame, range(50)))
        settled(capture, 50)
        pair.a.remove()
        assert drained(capture[0])[:2] == (50, "the device `pfqt-b` disappeared while it was captured from")


def test_D6_moved_to_another_namespace(netns_pair: Pair, mode: HookChoice) -> None:
    """Elsewhere it is none of our business: the readers are told, and the program is taken off."""
    pair = netns_pair
    with namespace("c") as other:
        with opened(pair, hook=mode, snaplen=96) as capture:
            pair.b.run("ip", "link", "set", pair.dev_b, "netns", other.name)
            message = drained(capture[0])[1]
            assert message == "the device `pfqt-b` was moved to another network namespace while it was captured from"
        seen = other.run("ip", "-d", "link", "show", pair.dev_b) + other.run("tc", "filter", "show", "dev", pair.dev_b)
        assert "prog" not in seen
        assert "pfq:" not in seen


def test_D6_renamed_mtu_promiscuous(netns_pair: Pair, mode: HookChoice, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is logged, and the capture goes on."""
    pair, name = netns_pair, netns_pair.dev_b
    caplog.set_level(logging.INFO, "pfq")
    frames: list[bytes] = []
    with opened(pair, hook=mode, snaplen=2016) as capture, pair.sender() as sender:

        def go_on(size: int = 60) -> None:
            frames.append(numbered(len(frames), size))
            send(sender, frames[-1:])
            settled(capture, len(frames))

        go_on()
        for words in (["down"], ["name", "renamed"], ["up"], ["mtu", "9000"], ["promisc", "on"], ["promisc", "off"]):
            pair.b.run("ip", "link", "set", name, *words)
            name = words[1] if words[0] == "name" else name
            if words != ["down"]:
                assert eventually(lambda inside=name: is_running(pair.b, inside) or words[0] == "name")
        pair.a.run("ip", "link", "set", pair.dev_a, "mtu", "9000")
        go_on()
        go_on(9014)
        capture.stop()
        got = packets(capture[0])
    assert [(packet.data, packet.len) for packet in got] == [(frame[:2016], len(frame)) for frame in frames]
    assert [record.getMessage() for record in caplog.records if record.name == "pfq.engine.capture"] == [
        "pfqt-b is down",
        "pfqt-b was renamed",
        "renamed is up",
        "renamed has another MTU",
        "renamed went into or out of promiscuous mode",
        "renamed went into or out of promiscuous mode",
    ]
