from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from support.rings import FakeRings, frame_of

from pfq.errors import DeviceGoneError, InternalError, KernelRefusedError, RingClosedError, UsageError
from pfq.ring import Batch, Reader, RingStatistics

SECONDS = 20.0
"""Long enough for the slowest machine; nothing that works takes it."""


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [int.from_bytes(batch.bytes(i)[:4], "big") for i in range(len(batch))]


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def test_empty_ring_gives_nothing_at_once(reader: Reader) -> None:
    assert reader.read(timeout=0) is None


def test_packets_come_in_order_and_only_once(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(3)))
    assert numbers(reader.read()) == [0, 1, 2]
    rings.publish(frame_of(3))
    assert numbers(reader.read()) == [3]
    assert reader.read(timeout=0) is None


def test_a_batch_has_no_more_than_asked_for(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(5)))
    assert [numbers(reader.read(2)) for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_wrap_around_splits_a_batch(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(6)))
    reader.read()
    assert reader.read(timeout=0) is None  # which released the six
    rings.publish(*map(frame_of, range(6, 14)))
    first = reader.read()
    assert first is not None
    assert (first.first, numbers(first)) == (6, [6, 7])
    second = reader.read()
    assert second is not None
    assert (second.first, numbers(second)) == (8, list(range(8, 14)))


def test_full_ring_counts_as_lost_and_goes_on(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(11)))
    batch = reader.read()
    assert numbers(batch) == list(range(8))
    assert reader.statistics() == RingStatistics(delivered=8, lost=3, read=8, held=8, waiting=0)
    assert batch is not None
    batch.release()
    rings.publish(frame_of(99))
    assert reader.statistics() == RingStatistics(delivered=9, lost=3, read=8, held=0, waiting=1)
    assert numbers(reader.read()) == [99]


def test_every_published_packet_is_read_over_many_rounds(rings: FakeRings, reader: Reader) -> None:
    seen: list[int] = []
    for start in range(0, 3000, 5):
        rings.publish(*map(frame_of, range(start, start + 5)))
        while (batch := reader.read(timeout=0)) is not None:
            seen += numbers(batch)
    assert seen == list(range(3000))
    assert rings.lost() == 0


def test_rings_take_turns() -> None:
    with FakeRings(cpus=(True, False, True)) as rings, rings.reader() as reader:
        rings.publish(*map(frame_of, range(4)), cpu=0)
        rings.publish(*map(frame_of, range(10, 14)), cpu=2)
        got = [(batch.ring, numbers(batch)) for _ in range(4) if (batch := reader.read(2))]
        assert got == [(0, [0, 1]), (2, [10, 11]), (0, [2, 3]), (2, [12, 13])]
        assert reader.read(timeout=0) is None
        assert (rings.tail(0), rings.tail(2)) == (4, 4)
        assert reader.statistics() == RingStatistics(delivered=8, lost=0, read=8, held=0, waiting=0)


def test_a_new_reader_goes_on_where_the_last_one_released(rings: FakeRings) -> None:
    rings.publish(*map(frame_of, range(5)))
    with rings.reader() as first:
        assert numbers(first.read(3)) == [0, 1, 2]
    with rings.reader() as second:
        assert numbers(second.read()) == [3, 4]


@pytest.mark.parametrize("head", [9, 1 << 40, (1 << 64) - 1], ids=["beyond the slots", "far beyond", "back"])
def test_a_head_that_cannot_be_is_not_believed(rings: FakeRings, reader: Reader, head: int) -> None:
    rings.set_head(head)
    with pytest.raises(InternalError, match="ring 0 of 8 slots: head"):
        reader.read(timeout=0)


def test_timeout_passes_without_packets(reader: Reader) -> None:
    start = time.monotonic()
    assert reader.read(timeout=0.03) is None
    assert time.monotonic() - start >= 0.03


def test_waiting_says_that_it_sleeps_and_wakes_for_packets(rings: FakeRings, reader: Reader) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: numbers(reader.read(timeout=SECONDS)))
        wait_for(rings.sleeping)
        rings.publish(frame_of(7))
        assert waiting.result() == [7]
    assert rings.sleeping() == 0


def test_closing_ends_a_read_in_another_thread(rings: FakeRings, reader: Reader) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(reader.read)
        wait_for(rings.sleeping)
        reader.close()
        with pytest.raises(RingClosedError):
            waiting.result()
    assert reader.closed


def test_closing_ends_an_iteration_in_another_thread(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(3)))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: [numbers(batch) for batch in reader])
        wait_for(lambda: rings.tail() == 3 and rings.sleeping())
        reader.close()
        assert waiting.result() == [[0, 1, 2]]


def test_closing_leaves_the_batch_of_another_thread_alone(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(3)))
    got, closed = threading.Event(), threading.Event()

    def work() -> int:
        batch = reader.read()
        assert batch is not None
        got.set()
        closed.wait(SECONDS)
        return int(batch.len.sum())

    with ThreadPoolExecutor() as pool:
        working = pool.submit(work)
        got.wait(SECONDS)
        reader.close()
        closed.set()
        assert working.result() == 180


def test_closed_reader_refuses_and_keeps_its_counters(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(9)))
    reader.read(2)
    reader.close()
    reader.close()
    rings.publish(frame_of(9))
    with pytest.raises(RingClosedError):
        reader.read(timeout=0)
    assert list(reader) == []
    assert reader.statistics() == RingStatistics(delivered=8, lost=1, read=2, held=0, waiting=6)


def test_closing_from_a_signal_handler_ends_the_read_it_interrupts(rings: FakeRings, reader: Reader) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: reader.close())

    def send() -> None:
        wait_for(rings.sleeping)
        os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(RingClosedError):
            reader.read()
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_does_not_end_a_read_but_its_exception_does(rings: FakeRings, reader: Reader) -> None:
    heard: list[int] = []

    def handle(number: int, _frame: object) -> None:
        heard.append(number)
        if len(heard) == 2:
            raise KeyboardInterrupt

    def send() -> None:
        for count in (1, 2):
            wait_for(rings.sleeping)
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_for(partial(lambda count: len(heard) == count, count))

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            reader.read()
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(heard) == 2
    rings.publish(frame_of(5))
    assert numbers(reader.read(timeout=0)) == [5]


def test_two_threads_on_one_reader_are_refused(rings: FakeRings, reader: Reader) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: numbers(reader.read(timeout=SECONDS)))
        wait_for(rings.sleeping)
        with pytest.raises(UsageError, match="another thread is reading"):
            reader.read(timeout=0)
        rings.publish(frame_of(1))
        assert waiting.result() == [1]


def test_several_threads_read_several_end_points() -> None:
    def read_all(reader: Reader) -> int:
        return sum(len(batch) for batch in reader)

    everything = [FakeRings() for _ in range(3)]
    readers = [rings.reader() for rings in everything]
    with ThreadPoolExecutor() as pool:
        counts = [pool.submit(read_all, reader) for reader in readers]
        for i, rings in enumerate(everything):
            rings.publish(*map(frame_of, range(i + 1)))
        for i, rings in enumerate(everything):
            wait_for(partial(lambda rings, count: rings.tail() == count, rings, i + 1))
        for reader in readers:
            reader.close()
        assert [count.result() for count in counts] == [1, 2, 3]
    for rings in everything:
        rings.close()


def test_failure_comes_after_the_last_packet(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(4)))
    reader.fail(DeviceGoneError("the device veth0 disappeared"))
    assert numbers(reader.read(3)) == [0, 1, 2]
    assert numbers(reader.read(3)) == [3]
    for _ in range(2):
        with pytest.raises(DeviceGoneError, match="veth0"):
            reader.read()


def test_failure_wakes_a_sleeping_reader(rings: FakeRings, reader: Reader) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: next(reader))
        wait_for(rings.sleeping)
        reader.fail(DeviceGoneError("the device veth0 disappeared"))
        with pytest.raises(DeviceGoneError):
            waiting.result()


def test_arrays_that_hold_the_whole_ring_are_warned_about(rings: FakeRings, reader: Reader) -> None:
    rings.publish(*map(frame_of, range(8)))
    batch = reader.read()
    assert batch is not None
    kept = [batch.len]
    with pytest.warns(RuntimeWarning, match="hold every slot"):
        assert reader.read(timeout=0.001) is None
    assert reader.read(timeout=0.001) is None  # once is enough
    del kept, batch
    rings.publish(frame_of(8))
    assert numbers(reader.read()) == [8]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"slots": 6}, "6 slots are not a power of two"),
        ({"slot_bytes": 100}, "a slot of 100 bytes"),
        ({"slot_bytes": 32}, "a slot of 32 bytes"),
        ({"doorbell_fd": 12345}, "doorbell: Bad file descriptor"),
    ],
)
def test_bad_options_are_refused(rings: FakeRings, options: dict[str, int], why: str) -> None:
    given = {"slots": rings.slots, "slot_bytes": rings.slot_bytes} | options
    with pytest.raises(KernelRefusedError, match=f"cannot open the rings: {why}"):
        Reader(rings.ring_fds, rings.consumer_fd, **given)


def mappings() -> int:
    """How often rings are mapped in this process."""
    with open("/proc/self/maps") as maps:
        return sum("memfd:ring" in line for line in maps)


def test_opening_and_closing_leaves_no_descriptor_and_no_mapping(rings: FakeRings) -> None:
    before = (len(os.listdir("/proc/self/fd")), mappings())
    for _ in range(10):
        with rings.reader() as reader:
            rings.publish(frame_of(0))
            reader.read().len.sum()  # type: ignore[union-attr]
            assert mappings() > before[1]
    assert (len(os.listdir("/proc/self/fd")), mappings()) == before


def test_a_failure_that_was_raised_does_not_keep_the_rings_mapped(rings: FakeRings) -> None:
    before = mappings()
    failure = DeviceGoneError("the device veth0 disappeared")
    with rings.reader() as reader:
        reader.fail(failure)
        with suppress(DeviceGoneError):
            reader.read()
    assert mappings() == before
