"""Several processes, some in Python and some in C, share a group: each flow is in one of them, none is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from root.daemon.members import Member, c_member, python_member
from root.daemon.process import Pfqd, pfqd_of
from root.network import Pair, eventually
from support.frames import CAPTURES

import pfq
from pfq.client.engine import RemoteEngine
from pfq.client.group import RemoteGroup
from pfq.lang.action import Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import Interpreter

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

TRACE = [CAPTURES / f"pcapplusplus-{name}.pcap" for name in ("example", "650HttpResponses", "DnsPackets")]
SHARED, OTHER = 7, 8
PROGRAM, OTHER_PROGRAM = "steer_flow", "udp >-> inc 1"


@cache
def frames() -> list[bytes]:
    """Real traffic: over 600 flows."""
    return [batch.bytes(i) for path in TRACE for batch in pfq.read(path) for i in range(len(batch))]


@cache
def selected(program: str) -> Counter[int]:
    """The flows that a program selects of it, by the interpreter: packets by hash."""
    found: Counter[int] = Counter()
    interpreter = Interpreter(compile_text(program))
    for path in TRACE:
        for batch in pfq.read(path):
            hashes = batch.flow_hash.tolist()
            chosen = (i for i in range(len(batch)) if interpreter.decide(batch.bytes(i)).fanout is not Fanout.DROP)
            found.update(hashes[i] for i in chosen)
    return found


class Stage:
    """A daemon with the shared group and another one, and a client that looks on."""

    def __init__(self, pair: Pair, daemon: Pfqd, engine: RemoteEngine) -> None:
        self.pair, self.daemon, self.engine = pair, daemon, engine
        self.groups = [self._group(SHARED, PROGRAM), self._group(OTHER, OTHER_PROGRAM)]
        self.sent = 0

    def _group(self, number: int, program: str) -> RemoteGroup:
        """It lasts as long as somebody is in it: here one whose class no packet is for."""
        group = self.engine.group(number)
        group.join(self.engine.endpoint(slots=2, snaplen=64), classes=1 << 5)
        group.set_program(program)
        group.bind(self.pair.dev_b)
        return group

    def send(self) -> None:
        """The trace once more; waits until all of it was read."""
        with self.pair.sender() as sender:
            self.sent += sender.send(frames())
        assert eventually(lambda: all(group.statistics().arrived == self.sent for group in self.groups), 10.0)
        assert eventually(lambda: not any(each["statistics"]["waiting"] for each in self.listed()), 10.0)

    def listed(self) -> list[dict[str, dict[str, int]]]:
        return list(self.engine.listed()["endpoints"])

    def members(self) -> set[int]:
        """Of the shared group."""
        (group,) = (group for group in self.engine.listed()["groups"] if group["group"] == SHARED)
        return {member["endpoint"] for member in group["members"]} - {0}


@pytest.fixture
def stage(netns_pair: Pair) -> Iterator[Stage]:
    with pfqd_of(netns_pair) as daemon:
        daemon.start()
        with pfq.connect(daemon.path) as engine:
            yield Stage(netns_pair, daemon, engine)


def each_in_one(members: list[Member], count: int = 1) -> None:
    """Each flow is in exactly one of them, and together they have all, so many times."""
    together: Counter[int] = Counter()
    for member in members:
        assert not together.keys() & member.flows.keys()
        together.update(member.flows)
    assert together == Counter({flow: packets * count for flow, packets in selected(PROGRAM).items()})
    assert [member.lost for member in members] == [0] * len(members)


def test_each_flow_is_in_one_process_and_another_group_has_its_own_view(stage: Stage) -> None:
    with ExitStack() as undo:
        made = [(c_member if i % 2 else python_member)(stage.daemon, SHARED) for i in range(4)]
        members = [undo.enter_context(member) for member in made]
        observer = undo.enter_context(python_member(stage.daemon, OTHER)).ready()
        for member in members:
            member.ready()
        assert eventually(lambda: len(stage.members()) == 4)
        stage.send()
        assert observer.finish() == selected(OTHER_PROGRAM)
        for member in members:
            assert member.finish(), "each has a share"
        each_in_one(members)
        assert stage.groups[1].counters()[1] == sum(selected(OTHER_PROGRAM).values())


@pytest.mark.parametrize("victim", [0, 1], ids=["python", "c"])
def test_when_one_dies_only_its_flows_move_and_when_it_is_back_it_has_them_again(stage: Stage, victim: int) -> None:
    """The trace is sent three times: with all, without the one that died, and with the one in its place."""
    with ExitStack() as undo:
        members = [undo.enter_context(make(stage.daemon, SHARED)).ready() for make in (python_member, c_member) * 2]
        stage.send()
        dead = members.pop(victim)
        dead.kill()
        assert eventually(lambda: stage.members() == {member.number for member in members}, 5.0)
        stage.send()
        again = undo.enter_context((c_member, python_member)[victim](stage.daemon, SHARED)).ready()
        assert again.number == dead.number
        stage.send()
        its_flows = again.finish()
        assert its_flows
        assert all(its_flows[flow] == selected(PROGRAM)[flow] for flow in its_flows), "each is there once"
        for member in members:
            for flow, packets in member.finish().items():
                times = 1 if flow in its_flows else 3
                assert packets == times * selected(PROGRAM)[flow], "moved away once, or never"
        for one in members:
            assert not any(one.flows.keys() & other.flows.keys() for other in members if other is not one)
        assert set(its_flows) | {flow for member in members for flow in member.flows} == set(selected(PROGRAM))
        assert set(its_flows) <= {flow for member in members for flow in member.flows}, "others had them meanwhile"
        assert not any(member.lost for member in (*members, again))
