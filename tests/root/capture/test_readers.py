"""Readers that sleep, are woken, give up, and end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from root.capture.harness import check_identities, flow_frame, flows, opened, pinned, send, settled
from root.network import Pair, eventually

from pfq.engine.hooks import HookChoice
from pfq.errors import RingClosedError, UsageError
from pfq.ring.reader import Reader

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 20.0
"""How long a test waits for what takes a thousandth of it when it works."""


@pytest.fixture
def only_the_doorbell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers do not look by themselves now and then."""
    monkeypatch.setattr("pfq.ring.reader._LONGEST_SLEEP_NS", int(2 * PATIENCE_S * 1e9))


def count_next(reader: Reader) -> int:
    """How many packets the next batch has, after waiting for it."""
    batch = reader.read()
    assert batch is not None
    return len(batch)


@pytest.mark.usefixtures("only_the_doorbell")
def test_the_doorbell_wakes_a_blocked_read(netns_pair: Pair, mode: HookChoice) -> None:
    with (
        ThreadPoolExecutor() as pool,
        opened(netns_pair, hook=mode, snaplen=96) as capture,
        netns_pair.sender() as sender,
    ):
        for number, idle_s in enumerate((0.0, 0.01, 0.05, 0.1, 1.0)):
            waiting = pool.submit(count_next, capture[0])
            time.sleep(idle_s)
            sender.send([flow_frame(number)])
            assert waiting.result(timeout=PATIENCE_S) == 1


@pytest.mark.usefixtures("only_the_doorbell")
def test_no_wake_up_is_missed(netns_pair: Pair) -> None:
    """A packet comes at any moment of a reader's falling asleep; the next one comes only after it was read."""
    with ThreadPoolExecutor() as pool, opened(netns_pair, snaplen=96) as capture, netns_pair.sender() as sender:
        for number in range(1500):
            waiting = pool.submit(count_next, capture[0])
            time.sleep(number % 300 * 1e-6)
            sender.send([flow_frame(number)])
            assert waiting.result(timeout=PATIENCE_S) == 1


@pytest.mark.usefixtures("only_the_doorbell")
def test_every_end_point_wakes_its_own_reader(netns_pair: Pair, mode: HookChoice) -> None:
    program = "conditional (has_src_port 1000) (steer_to 0) (conditional (has_src_port 1001) (steer_to 1) (steer_to 2))"
    with (
        ThreadPoolExecutor() as pool,
        opened(netns_pair, program, endpoints=3, hook=mode, snaplen=96) as capture,
        netns_pair.sender() as sender,
    ):
        waiting = [pool.submit(count_next, reader) for reader in capture]
        time.sleep(0.1)
        for turn, number in enumerate((2, 0, 1)):
            assert sum(future.done() for future in waiting) == turn
            sender.send([flow_frame(number)])
            assert waiting[number].result(timeout=PATIENCE_S) == 1


def test_a_read_with_a_timeout(netns_pair: Pair) -> None:
    with opened(netns_pair, snaplen=96) as capture, netns_pair.sender() as sender:
        assert capture[0].read(timeout=0) is None
        start = time.monotonic()
        assert capture[0].read(timeout=0.25) is None
        assert time.monotonic() - start >= 0.25
        sender.send([flow_frame(0)])
        batch = capture[0].read(timeout=PATIENCE_S)
        assert batch is not None
        assert len(batch) == 1


def test_two_threads_cannot_read_one_end_point(netns_pair: Pair) -> None:
    with ThreadPoolExecutor() as pool, opened(netns_pair, snaplen=96) as capture:
        waiting = pool.submit(capture[0].read, timeout=PATIENCE_S)
        assert eventually(lambda: capture[0]._busy.locked())
        with pytest.raises(UsageError, match="another thread"):
            capture[0].read()
        capture.stop()
        assert isinstance(waiting.exception(timeout=PATIENCE_S), RingClosedError)


def test_stopping_drains_the_rings_and_then_ends(netns_pair: Pair, mode: HookChoice) -> None:
    with opened(netns_pair, "ip >-> steer_flow", endpoints=2, hook=mode, snaplen=96) as capture:
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(1000)))
            settled(capture, 1000)
            capture.stop()
            capture.stop()
            sender.send([flow_frame(0)])
        got = [flows(reader) for reader in capture]
        assert sum(len(flow.rows) for flow in got) == 1000, "the packet that came later is not seen"
        for reader in capture:
            with pytest.raises(RingClosedError, match="stopped"):
                reader.read()


@pytest.mark.usefixtures("only_the_doorbell")
def test_closing_ends_readers_that_wait(netns_pair: Pair) -> None:
    capture = opened(netns_pair, endpoints=3, snaplen=96)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(list, reader) for reader in capture]
        time.sleep(0.1)
        capture.close()
        assert [future.result(timeout=PATIENCE_S) for future in waiting] == [[], [], []]
    capture.close()
    with pytest.raises(RingClosedError):
        capture[0].read()


@pytest.mark.parametrize("stop_first", [True, False])
def test_statistics_after_closing(netns_pair: Pair, mode: HookChoice, stop_first: bool) -> None:
    """They stay, and are final, though traffic went on until the end."""
    with opened(netns_pair, "ip >-> steer_flow", endpoints=2, hook=mode, slots=64, snaplen=96) as capture:
        stop = threading.Event()

        def pump() -> None:
            with netns_pair.sender() as sender, pinned():
                while not stop.is_set():
                    sender.send(map(flow_frame, range(100)))

        with ThreadPoolExecutor() as pool:
            pumping = pool.submit(pump)
            assert eventually(lambda: capture.statistics().arrived > 1000, 5.0)
            if stop_first:
                capture.stop()
            capture.close()
            statistics = capture.statistics()
            stop.set()
            pumping.result()
    assert capture.statistics() == statistics
    check_identities(statistics)
    assert sum(endpoint.selected for endpoint in statistics.endpoints) == statistics.selected == statistics.arrived
    assert statistics.delivered == 128


def test_a_closed_capture_cannot_be_entered_again(netns_pair: Pair) -> None:
    with opened(netns_pair) as capture:
        pass
    with pytest.raises(RingClosedError, match="the capture is closed"), capture:
        pass
