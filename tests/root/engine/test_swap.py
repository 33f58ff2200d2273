"""What changes while packets flow: each packet meets exactly one generation of the program (C7, C8)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from root.capture.harness import NEEDS_TCX, flow_frame, send
from root.engine.harness import adds_up, arrived, bound_group, engine_of, joined, waiting
from root.left import left_since, snapshot
from root.network import Pair, eventually, traffic

from pfq.engine.endpoint import Endpoint

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

HOOKS = ("xdp", pytest.param("tcx", marks=NEEDS_TCX))
SWAPS = 100
RATE_PPS = 100_000
"""More than the sender can do."""


class Collector:
    """Reads an end-point in a thread: the numbers and marks of what came."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.numbers: list[np.ndarray] = []
        self.marks: list[np.ndarray] = []
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while (batch := self._endpoint.reader.read(timeout=0.05)) is not None or not self._stop.is_set():
            if batch is not None:
                with batch:
                    self.numbers.append(np.array(batch.data[:, 14:18]).view(">u4")[:, 0].astype(np.int64))
                    self.marks.append(np.array(batch.mark))

    def end(self) -> tuple[np.ndarray, np.ndarray]:
        """All of them, when the sender has stopped."""
        self._stop.set()
        self._thread.join()
        return np.concatenate(self.numbers), np.concatenate(self.marks)


@contextmanager
def collecting(endpoint: Endpoint) -> Iterator[Collector]:
    collector = Collector(endpoint)
    try:
        yield collector
    finally:
        collector.end()


@pytest.mark.slow
@pytest.mark.parametrize("hook", HOOKS)
def test_C7_each_packet_meets_one_program(netns_pair: Pair, hook: str) -> None:
    """None is unseen and none is seen twice, by the group that changes and by the one that does not."""
    with engine_of(netns_pair) as engine:
        changing = bound_group(netns_pair, engine, "inc 0 >-> mark 1", hook=hook)
        other = bound_group(netns_pair, engine, "inc 0")
        one, two = (joined(group, slots=1 << 16) for group in (changing, other))
        with collecting(one) as first, collecting(two) as second:
            with traffic(netns_pair, rate_pps=RATE_PPS) as sender:
                assert eventually(lambda: changing.statistics().arrived > 0)
                texts = (f"inc {turn % 64} >-> mark {turn + 1}" for turn in range(SWAPS))
                took = [changing.set_program(text).seconds for text in texts]
            arrived(changing, sender.sent)
            arrived(other, sender.sent)
            numbers, marks = first.end()
            others, _ = second.end()
        for found in (numbers, others):
            assert np.array_equal(np.sort(found), np.arange(sender.sent))
        assert sum(changing.counters()) == other.counters()[0] == sender.sent
        assert len(np.unique(marks)) > SWAPS / 2
        assert 0 < sorted(took)[SWAPS // 2] < 1, "seconds; a machine that is busy takes longer than one that is not"
        assert one.statistics().lost == two.statistics().lost == 0


def test_C8_filters_and_bindings_change(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        steady = bound_group(netns_pair, engine, "inc 1", hook="xdp")
        endpoint = joined(steady, slots=1 << 16)
        restless = engine.group()
        keeper = joined(restless)
        changes: list[Callable[[], object]] = [
            lambda: netns_pair.b.call(restless.bind, netns_pair.dev_b),
            lambda: restless.set_filter("arp"),
            lambda: restless.set_vlans([0]),
            lambda: netns_pair.b.call(restless.unbind, netns_pair.dev_b),
            lambda: restless.set_vlans(None),
        ]
        with collecting(endpoint) as collector:
            with traffic(netns_pair, rate_pps=RATE_PPS) as sender:
                for change in changes * 3:
                    change()
            arrived(steady, sender.sent)
            numbers, _ = collector.end()
        assert np.array_equal(np.sort(numbers), np.arange(sender.sent))
        assert adds_up(restless)
        assert keeper.statistics().selected == restless.statistics().selected


def test_members_come_and_go_while_packets_flow(netns_pair: Pair) -> None:
    """The program stays the same, and every packet is somewhere."""
    chance = random.Random(5)
    with engine_of(netns_pair) as engine:
        group = bound_group(netns_pair, engine, "steer_flow", hook="xdp")
        first = joined(group)
        (path,) = (side.path for side in engine.sides.values())
        gone = []
        with netns_pair.sender() as sender:
            members: list[Endpoint] = []
            for turn in range(60):
                send(sender, map(flow_frame, range(turn * 50, turn * 50 + 50)))
                if len(members) < 3 or chance.random() < 0.4:
                    members.append(joined(group))
                elif chance.random() < 0.5:
                    members[chance.randrange(len(members))].weight = chance.randrange(1, 9)
                else:
                    leaver = members.pop(chance.randrange(len(members)))
                    group.leave(leaver)
                    gone.append(leaver)
            arrived(group, sender.sent)
            found = group.statistics()
            everybody = [first, *members, *gone]
            assert sum(each.statistics().selected for each in everybody) == found.selected - found.nobody
            assert found.nobody == 0
            numbers = [int.from_bytes(each.data[42:46], "big") for one in everybody for each in waiting(one)]
            assert sorted(numbers) == list(range(sender.sent))
        assert [side.path for side in engine.sides.values()] == [path]


def test_who_has_left_gets_nothing(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, traffic(netns_pair, rate_pps=20_000):
        group = bound_group(netns_pair, engine, hook="xdp")
        joined(group)
        for _ in range(10):
            leaver = joined(group, slots=1 << 14)
            group.leave(leaver)
            before = leaver.statistics()
            time.sleep(0.01)
            assert leaver.statistics() == before
            leaver.close()


KILLED = """
import pfq, sys, time
with pfq.Engine() as engine:
    for number in range(4):
        group = engine.group()
        group.set_program("steer_flow")
        group.bind("pfqt-b", hook={hook!r}, promiscuous=True)
        group.join(engine.endpoint(snaplen=96))
    print("ready", flush=True)
    while True:
        group.set_program("steer_p2p")
        time.sleep(0.01)
"""


@pytest.mark.parametrize("hook", HOOKS)
def test_C1_a_killed_engine_leaves_nothing(netns_pair: Pair, hook: str) -> None:
    before = snapshot()
    with traffic(netns_pair, rate_pps=5_000), netns_pair.b.python(KILLED.format(hook=hook)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.kill()
        child.wait()
    assert not left_since(before, 3.0)


def test_R2_changes_leave_nothing_behind(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        group = bound_group(netns_pair, engine)
        joined(group)
        group.set_program("flow_inc key_5tuple 1024 60")
        before = snapshot()
        for text in ("steer_flow", "flow_inc key_5tuple 65536 60 >-> limit 10 10", "unit") * 3:
            group.set_program(text)
            group.join(engine.endpoint(snaplen=64, slots=16))
            list(engine.endpoints.values())[-1].close()
        group.set_program("flow_inc key_5tuple 1024 60")
        after = [text for text in left_since(before, 2.0) if "prog" not in text.lower()]
        assert len(after) <= 4, after
