"""Counters of rings that nobody reads in this process; U7: their reader may write anything into its page."""

from __future__ import annotations

import struct

import pytest
from root.capture.harness import flow_frame, send
from root.engine.harness import arrived, bound_group, engine_of, joined, waiting
from root.network import Pair

from pfq.errors import RingClosedError
from pfq.layout import CONSUMER_BYTES

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def test_counters_without_a_reader(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        endpoint = joined(group, slots=16)
        send(sender, map(flow_frame, range(20)))
        arrived(group, 20)
        found = endpoint.statistics()
        assert (found.selected, found.delivered, found.lost, found.read, found.waiting) == (20, 16, 4, 0, 16)
        assert endpoint.rings.read_here is None
        assert len(waiting(endpoint)) == 16
        assert endpoint.rings.read_here is not None
        found = endpoint.statistics()
        assert (found.delivered, found.lost, found.read, found.waiting) == (16, 4, 16, 0)
    assert endpoint.statistics() == found, "also when it is closed"


@pytest.mark.parametrize("tail", [5, 16, 17, 1 << 63, (1 << 64) - 1])
def test_U7_what_a_reader_writes_is_not_believed(netns_pair: Pair, tail: int) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        endpoint = joined(group, slots=16)
        send(sender, map(flow_frame, range(10)))
        arrived(group, 10)
        with endpoint.rings.consumer.mmap(writable=True) as page:
            for cpu in range(engine.memory.cpus):
                struct.pack_into("<Q", page, cpu * CONSUMER_BYTES, tail)
            found = endpoint.statistics()
            assert found.delivered == found.read + found.waiting == 10
            assert found.read == min(tail, 10)
            send(sender, map(flow_frame, range(100)))
            arrived(group, 110)
            found = endpoint.statistics()
            assert found.delivered + found.lost == 110
            assert found.delivered == found.read + found.waiting
            assert 0 <= found.waiting <= 16


def test_a_reader_that_comes_late_is_told(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        endpoint = joined(bound_group(netns_pair, engine))
        told: list[object] = []
        endpoint.on_failure = told.append
        error = RingClosedError("no more")
        endpoint.fail(error)
        assert told == [error]
        with pytest.raises(RingClosedError, match="no more"):
            endpoint.reader.read(timeout=1)
