"""Several groups, each with its own view, in one program for each device."""

from __future__ import annotations

from dataclasses import replace

import pytest
from root.capture.harness import NEEDS_TCX, flow_frame, send
from root.engine.harness import adds_up, arrived, bound_group, engine_of, joined, waiting
from root.network import Pair, veth_pair
from support.statements import arp_frame, tcp_frame, udp_frame

from pfq.errors import DeviceGoneError, LimitError, ProgramError, UsageError, VerifierError
from pfq.kernel.programs import wait_for_running_programs

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

HOOKS = ("xdp", pytest.param("tcx", marks=NEEDS_TCX))
SOME = [tcp_frame(note=1), udp_frame(note=2), arp_frame(3)]


@pytest.mark.parametrize("hook", HOOKS)
def test_each_group_has_its_own_view(netns_pair: Pair, hook: str) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        views = {"tcp": [0], "udp": [1], "unit": [0, 1, 2], "drop": []}
        groups = {text: bound_group(netns_pair, engine, text, hook=hook) for text in views}
        endpoints = {text: joined(group) for text, group in groups.items()}
        assert len(engine.sides) == 1, "one program"
        send(sender, SOME)
        for text, places in views.items():
            arrived(groups[text], 3)
            assert [each.data for each in waiting(endpoints[text])] == [SOME[place] for place in places]
            assert adds_up(groups[text])


def test_an_end_point_of_several_groups_gets_one_copy(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        first, last = (
            bound_group(netns_pair, engine, text) for text in ("mark 7 >-> put_state 1", "tcp >-> put_state 2")
        )
        endpoint = joined(first)
        last.join(endpoint)
        send(sender, SOME)
        arrived(last, 3)
        got = waiting(endpoint)
    assert [(each.data, each.mark, each.state, each.group) for each in got] == [
        (SOME[0], 7, 2, 1),
        (SOME[1], 7, 1, 0),
        (SOME[2], 7, 1, 0),
    ]


def test_a_member_that_comes_back_gets_its_flows_again(netns_pair: Pair) -> None:
    """Also when the group has got another program meanwhile: the group remembers, not the memory of the program."""
    frames = [flow_frame(number) for number in range(60)]
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine, "steer_flow")
        members = [joined(group) for _ in range(3)]
        sent = 0

        def places() -> dict[bytes, int]:
            nonlocal sent
            send(sender, frames)
            sent += len(frames)
            arrived(group, sent)
            return {packet.data: member.number for member in members for packet in waiting(member)}

        before = places()
        group.leave(members[1])
        without = places()
        group.set_program("ip >-> steer_flow")
        group.join(members[1])
        assert set(before) == set(frames)
        assert places() == before
        moved = {frame for frame in frames if without[frame] != before[frame]}
        assert moved == {frame for frame in frames if before[frame] == 1} != set()


@pytest.mark.slow
def test_64_groups_run_in_one_program(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        groups = [engine.group() for _ in range(64)]
        with pytest.raises(LimitError, match="64 groups"):
            engine.group()
        endpoints = [joined(group) for group in groups]
        with pytest.raises(LimitError, match="64 end-points"):
            engine.endpoint()
        texts = ("ip >-> steer_flow", "udp >-> inc 3", "filter is_tcp >-> steer_p2p", "unit")
        for group in groups:
            group.set_program(texts[group.number % 4])
        netns_pair.b.call(groups[63].bind, netns_pair.dev_b, hook="xdp")
        engine.configure({group: replace(group.settings, bindings=groups[63].bindings) for group in groups})
        send(sender, SOME * 10)
        for group in groups:
            arrived(group, 30)
            assert adds_up(group)
        counts = [len(waiting(endpoint)) for endpoint in endpoints]
        assert counts == [20, 10, 10, 30] * 16
        engine.stop()


def test_several_devices(netns_pair: Pair) -> None:
    """A group of two devices gets the packets of both; its program keeps one memory for them."""
    pair = netns_pair
    with veth_pair() as other:
        other.b.run("ip", "link", "set", other.dev_b, "netns", pair.b.name, "name", "second")
        pair.b.run("ip", "link", "set", "second", "up")
        with engine_of(pair) as engine, pair.sender() as one, other.sender() as two:
            both = bound_group(pair, engine, "inc 1")
            alone = bound_group(pair, engine, "inc 2")
            pair.b.call(both.bind, "second")
            endpoint = joined(both)
            assert len(engine.sides) == 2
            for _ in range(10):
                send(one, SOME[:1])
                send(two, SOME[1:2])
            arrived(both, 20)
            arrived(alone, 10)
            assert (both.counters()[1], alone.counters()[2]) == (20, 10)
            devices = [each.ifindex for each in waiting(endpoint)]
            assert sorted(devices.count(index) for index in set(devices)) == [10, 10]
            pair.b.run("ip", "link", "del", "second")
            send(one, SOME)
            arrived(both, 23)


def test_a_device_that_goes_ends_the_readers_that_have_no_other(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        group = bound_group(netns_pair, engine)
        endpoint = joined(group)
        netns_pair.b.run("ip", "link", "del", netns_pair.dev_b)
        with pytest.raises(DeviceGoneError):
            endpoint.reader.read(timeout=5)
        assert group.bindings == ()
        assert not engine.sides


def test_binding_to_a_queue(netns_pair: Pair) -> None:
    """Packets of other queues do not arrive at all; inline takes from Linux what arrived."""
    with veth_pair(queues=2) as pair, engine_of(pair) as engine, pair.sender() as sender:
        anyone = bound_group(pair, engine, hook="xdp")
        first, second = (engine.group() for _ in range(2))
        for queue, group in enumerate((first, second)):
            group.set_program("inc 5 >-> mark 9")
            pair.b.call(group.bind, pair.dev_b, queue, binding="inline")
        endpoint = joined(anyone)
        second.join(endpoint)
        send(sender, map(flow_frame, range(200)))
        arrived(anyone, 200)
        counts = [group.statistics().arrived for group in (first, second)]
        assert sum(counts) == 200
        got = waiting(endpoint)
        assert [sum(each.queue == queue for each in got) for queue in (0, 1)] == counts
        assert {each.group for each in got if each.queue == 1} <= {second.number}
        assert {each.group for each in got if each.queue == 0} <= {anyone.number}
        with pytest.raises(UsageError, match="no receive queue"):
            pair.b.call(first.bind, pair.dev_b, 0, direction="out")


def test_filters_change_while_it_runs(netns_pair: Pair) -> None:
    """The program keeps its memory; counters go on."""
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine, "inc 0 >-> flow_inc key_5tuple 1024 60")
        other = bound_group(netns_pair, engine)
        memory, others = group.memory, other.memory
        endpoint = joined(group)
        seen = 0
        for change, wanted in (
            (lambda: group.set_filter("udp"), SOME[1:2]),
            (lambda: group.set_vlans([5]), []),
            (lambda: group.set_vlans(None), SOME[1:2]),
            (lambda: group.set_filter(None), SOME),
        ):
            assert change().seconds > 0
            seen += len(wanted)
            send(sender, SOME)
            wait_for_running_programs()
            assert [each.data for each in waiting(endpoint)] == wanted
        found = group.statistics()
        assert (found.arrived, found.filtered, found.counters[0]) == (12, 12 - seen, seen)
        assert (group.memory, other.memory) == (memory, others)
        group.set_program("inc 1")
        assert group.memory is not memory
        assert other.memory is others
        assert group.statistics().arrived == 12


REFUSED = ["steer_flwo", "port 65536", " >-> ".join(f"flow_inc key_5tuple {1 << 24} 60" for _ in range(9))]


@pytest.mark.parametrize("program", REFUSED, ids=["name", "range", "memory"])
def test_a_refused_program_changes_nothing(netns_pair: Pair, program: str) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine, "udp")
        endpoint = joined(group)
        path, memory = [side.path for side in engine.sides.values()], group.memory
        with pytest.raises(ProgramError):
            group.set_program(program)
        assert [side.path for side in engine.sides.values()] == path
        assert group.memory is memory
        send(sender, SOME)
        arrived(group, 3)
        assert [each.data for each in waiting(endpoint)] == SOME[1:2]


def test_what_the_verifier_refuses_changes_nothing(netns_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    import pfq.engine.datapath as datapath

    def refused(*_: object, **__: object) -> None:
        raise VerifierError("refused")

    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine, "udp")
        memory = group.memory
        with monkeypatch.context() as patched:
            patched.setattr(datapath, "load", refused)
            for change in (lambda: group.set_program("tcp"), lambda: group.set_filter("arp")):
                with pytest.raises(VerifierError):
                    change()
        assert group.memory is memory
        send(sender, SOME)
        arrived(group, 3)
        assert group.statistics().selected == 1


def test_the_last_member_takes_all_with_it(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        other = bound_group(netns_pair, engine, "unit")
        group = bound_group(netns_pair, engine, "inc 0")
        first, last = joined(group), joined(group)
        send(sender, SOME)
        arrived(group, 3)
        first.close()
        assert group.bindings
        last.close()
        assert group.closed
        assert engine.groups == {other.number: other}
        again = engine.group()
        assert again.number == group.number
        assert again.bindings == ()
        assert again.counters() == (0,) * 64
        assert again.statistics().arrived == 0
        other.close()
        assert not engine.sides
        assert len(engine.memory.pool) == 0


def test_end_points_of_different_shapes_and_clocks(netns_pair: Pair) -> None:
    shapes = [(64, 64, "ns"), (1500, 128, "coarse"), (10, 64, "none"), (200, 1024, "ns")]
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        endpoints = [joined(group, snaplen=s, slots=n, clock=clock) for s, n, clock in shapes]
        send(sender, map(flow_frame, range(40)))
        arrived(group, 40)
        for endpoint, (snaplen, slots, clock) in zip(endpoints, shapes, strict=True):
            got = waiting(endpoint)
            assert (endpoint.snaplen, endpoint.slots, endpoint.clock) == (snaplen, slots, clock)
            assert [each.data for each in got] == [flow_frame(n)[:snaplen] for n in range(40)]
            assert all((each.ts_ns > 0) == (clock != "none") for each in got)


def test_a_group_ends_once(netns_pair: Pair) -> None:
    """Two threads may end it, and the slower one finds another group under its number."""
    with engine_of(netns_pair) as engine:
        before = bound_group(netns_pair, engine, "unit")
        number = before.number
        before.close()
        after = engine.group(number)
        engine.tried(lambda codes: engine.end(before, codes))
        assert engine.groups[number] is after
