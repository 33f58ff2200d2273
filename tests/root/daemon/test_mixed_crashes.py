"""C1, C2, C3: clients that are killed, stopped, or come and go. Nobody else loses a packet."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from root.daemon.members import Member, python_member
from root.daemon.process import Pfqd, pfqd_of
from root.network import Pair, eventually, numbered, traffic

import pfq
from pfq.client.engine import RemoteEngine
from pfq.client.group import RemoteGroup

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

GROUP = 7
RATE_PPS = 20_000


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.start()
        yield made


@pytest.fixture
def engine(daemon: Pfqd) -> Iterator[RemoteEngine]:
    with pfq.connect(daemon.path) as connected:
        yield connected


@pytest.fixture
def group(netns_pair: Pair, engine: RemoteEngine) -> RemoteGroup:
    """It gives every packet to all members of class 0, and lasts by a member that is in another."""
    made = engine.group(GROUP)
    made.join(engine.endpoint(slots=2, snaplen=64), classes=1 << 5)
    made.bind(netns_pair.dev_b)
    return made


def numbers(engine: RemoteEngine) -> set[int]:
    return {each["endpoint"] for each in engine.listed()["endpoints"]}


def whole(member: Member) -> int:
    """The packets that a member had, at its end."""
    return sum(member.finish().values())


def test_C1_a_client_that_is_killed(netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, group: RemoteGroup) -> None:
    """Its end-point is free at once, the next client has it, and the member beside them has lost nothing."""
    with python_member(daemon, GROUP, slots=1 << 16) as beside, python_member(daemon, GROUP) as victim:
        beside.ready()
        victim.ready()
        with traffic(netns_pair, RATE_PPS, limit=30_000) as sender:
            time.sleep(0.5)
            before = sender.sent
            victim.kill()
            assert eventually(lambda: victim.number not in numbers(engine), 5.0), "its death is noticed"
            with python_member(daemon, GROUP, slots=1 << 16).ready() as second:
                assert second.number == victim.number
                joined = sender.sent
                assert eventually(lambda: sender.sent == 30_000, 20.0)
                assert eventually(lambda: group.statistics().arrived == 30_000, 5.0)
                found = whole(second)
        assert before > 1000
        assert 30_000 - joined <= found + second.lost <= 30_000 - before
        assert (whole(beside), beside.lost) == (30_000, 0)
    counts = group.statistics()
    assert (counts.arrived, counts.selected) == (30_000, 30_000)


def test_C2_opening_again_at_once(netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, group: RemoteGroup) -> None:
    """30 times, with the same number, an empty ring, and packets from the first one on."""
    taken = set()
    with netns_pair.sender() as sender:
        for turn in range(30):
            with pfq.connect(daemon.path) as again, again.endpoint(snaplen=96, slots=8) as endpoint:
                taken.add(endpoint.number)
                again.group(GROUP).join(endpoint)
                sender.send([numbered(turn)])
                batch = endpoint.reader.read(timeout=5.0)
                assert batch is not None
                assert [batch.bytes(i)[:60] for i in range(len(batch))] == [numbered(turn)]
    assert taken == {1}
    assert eventually(lambda: numbers(engine) == {0}, 5.0)
    assert group.statistics().selected == 30


def test_C3_a_client_that_is_stopped_for_a_while(netns_pair: Pair, daemon: Pfqd, group: RemoteGroup) -> None:
    """What its ring has no room for is counted as lost, by it and nobody else; then it reads on."""
    with (
        python_member(daemon, GROUP, slots=1 << 16).ready() as beside,
        python_member(daemon, GROUP, slots=1024) as victim,
    ):
        victim.ready()
        with traffic(netns_pair, RATE_PPS, limit=40_000) as sender:
            assert eventually(lambda: sender.sent > 2000, 5.0)
            os.kill(victim.process.pid, signal.SIGSTOP)
            assert eventually(lambda: sender.sent > 20_000, 20.0)
            os.kill(victim.process.pid, signal.SIGCONT)
            assert eventually(lambda: sender.sent == 40_000, 20.0)
        assert eventually(lambda: group.statistics().arrived == 40_000, 5.0)
        found = whole(victim)
        assert victim.lost > 10_000
        assert found > 5_000, "it has read on"
        assert found + victim.lost == 40_000
        assert (whole(beside), beside.lost) == (40_000, 0)
