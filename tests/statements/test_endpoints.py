"""Statements 59 and 69 to 83 on an engine: groups, end-points, their rights and limits."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from root.capture.harness import flow_frame, send
from root.engine.harness import arrived, bound_group, engine_of, joined, waiting
from root.network import Pair
from support.statements import CONTROL, arp_frame, tcp_frame, udp_frame

from pfq.engine.endpoint import Endpoint
from pfq.engine.group import Group
from pfq.engine.policy import Owner, PolicyName
from pfq.errors import DeviceMissingError, LimitError, NotPermittedError, RingClosedError, UsageError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

SOME = [tcp_frame(note=1), udp_frame(note=2), arp_frame(3)]
ELSEWHERE = Owner(pid=1, uid=65534)
POLICIES: tuple[PolicyName, ...] = ("private", "restricted", "shared")


def test_s59_a_member_of_the_control_class_configures_and_receives_nothing(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = engine.group()
        control, reader = joined(group, CONTROL), joined(group)
        netns_pair.b.call(lambda: group.bind(netns_pair.dev_b, by=control))
        for text in ("unit", "broadcast", "steer_flow"):
            group.set_program(text, by=control)
            send(sender, SOME)
        arrived(group, 9)
        assert control.statistics().selected == 0
        assert reader.statistics().selected == 3 + 3 + 2
        group.leave(reader)
        assert group.bindings, "a control member keeps the group"


def test_s69_an_end_point_is_in_no_group_at_first(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        endpoint = engine.endpoint()
        assert endpoint.groups == {}
        private = engine.group(policy="private")
        private.join(endpoint)
        assert (private.number, set(endpoint.groups)) == (0, {0})


@pytest.mark.parametrize("policy", POLICIES)
def test_s70_policies(netns_pair: Pair, policy: PolicyName) -> None:
    with engine_of(netns_pair) as engine:
        group = engine.group(policy=policy)
        owner, thread, other = engine.endpoint(), engine.endpoint(), engine.endpoint(owner=ELSEWHERE)
        group.join(owner)
        allowed = {"private": [], "restricted": [thread], "shared": [thread, other]}[policy]
        for endpoint in (thread, other):
            for asked in (*POLICIES, "undefined"):
                if asked == policy and endpoint in allowed:
                    group.join(endpoint, policy=asked)
                else:
                    with pytest.raises(NotPermittedError):
                        group.join(endpoint, policy=asked)
        assert set(group.members) == {each.number for each in (owner, *allowed)}


def test_s71_numbers_of_groups(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        endpoint = engine.endpoint()
        first, second, third = engine.group(), engine.group(5), engine.group()
        assert (first.number, second.number, third.number) == (0, 5, 1)
        assert engine.group(5) is second
        for _ in range(2):
            second.join(endpoint)
        assert list(endpoint.groups) == [5]
        first.join(endpoint)
        first.leave(endpoint)
        first.leave(endpoint)
        assert list(endpoint.groups) == [5]
        assert engine.group().number == 0
        with pytest.raises(LimitError):
            engine.group(64)
        with pytest.raises(UsageError, match="is shared"):
            engine.group(5, policy="private")


def test_s72_binding(netns_pair: Pair) -> None:
    pair = netns_pair
    with engine_of(pair) as engine:
        group = engine.group()
        member, stranger = joined(group), engine.endpoint()
        with pytest.raises(DeviceMissingError):
            pair.b.call(group.bind, "pfqt-none")
        pair.b.call(lambda: group.unbind(pair.dev_b, by=member))
        calls: list[Callable[[], object]] = [
            lambda: group.bind(pair.dev_b, by=stranger),
            lambda: group.unbind(pair.dev_b, by=stranger),
            lambda: group.set_program("unit", by=stranger),
            lambda: group.set_filter("tcp", by=stranger),
            lambda: group.set_vlans([0], by=stranger),
            lambda: group.replace_set("x", [], by=stranger),
        ]
        for call in calls:
            with pytest.raises(NotPermittedError):
                pair.b.call(call)
        assert not group.bindings
        pair.b.call(lambda: group.bind(pair.dev_b, by=member))
        assert [bound.device.name for bound in group.bindings] == [pair.dev_b]


@pytest.mark.parametrize("policy", POLICIES)
def test_s73_statistics_of_a_group(netns_pair: Pair, policy: PolicyName) -> None:
    with engine_of(netns_pair) as engine:
        with pytest.raises(UsageError, match="there is no group 0"):
            engine.statistics(0)
        group = engine.group(policy=policy)
        endpoint = joined(group)
        found = engine.statistics(0, by=endpoint)
        assert (found.arrived, found.selected, found.counters) == (0, 0, (0,) * 64)


def test_s74_rights_of_reading(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        outsider, thread = engine.endpoint(owner=ELSEWHERE), engine.endpoint()
        readers: dict[PolicyName, list[Endpoint]] = {
            "private": [],
            "restricted": [thread],
            "shared": [thread, outsider],
        }
        for policy, allowed in readers.items():
            group = engine.group(policy=policy)
            assert group.counters(by=joined(group)) == (0,) * 64
            for endpoint in (outsider, thread):
                for read in (group.statistics, group.counters):
                    if endpoint in allowed:
                        read(by=endpoint)
                    else:
                        with pytest.raises(NotPermittedError):
                            read(by=endpoint)


def test_s75_what_is_fixed_while_enabled(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        endpoint = engine.endpoint(snaplen=64, slots=100, enabled=False)
        assert (endpoint.snaplen, endpoint.slots) == (64, 128)
        endpoint.snaplen, endpoint.slots = 300, 64
        endpoint.enable()
        for name, value in (("snaplen", 64), ("slots", 128), ("clock", "none")):
            with pytest.raises(UsageError, match="fixed while it is enabled"):
                setattr(endpoint, name, value)
        endpoint.disable()
        endpoint.snaplen, endpoint.slots, endpoint.clock = 64, 128, "none"
        assert (endpoint.snaplen, endpoint.slots, endpoint.slot_bytes, endpoint.clock) == (64, 128, 128, "none")
        with pytest.raises(UsageError):
            endpoint.snaplen = 65_536
        assert endpoint.snaplen == 64


def test_s76_enabling(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        endpoint = engine.endpoint(snaplen=96, enabled=False)
        group = bound_group(netns_pair, engine)
        group.join(endpoint)
        assert not endpoint.enabled
        with pytest.raises(UsageError, match="not enabled"):
            endpoint.reader.read(timeout=0)
        send(sender, SOME)
        arrived(group, 3)
        endpoint.enable()
        assert endpoint.enabled
        with pytest.raises(UsageError, match="enabled already"):
            endpoint.enable()
        assert endpoint.reader.read(timeout=0) is None
        send(sender, SOME)
        arrived(group, 6)
        assert [each.data for each in waiting(endpoint)] == SOME
        assert group.statistics().nobody == 3
        endpoint.disable()
        assert endpoint.groups == {}


def test_s77_time_stamps(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        stamped, plain = joined(group), joined(group, clock="none")
        send(sender, SOME)
        arrived(group, 3)
        assert all(each.ts_ns for each in waiting(stamped))
        assert not any(each.ts_ns for each in waiting(plain))


def test_s78_the_slot_header(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine, "mark 5")
        short, whole = joined(group, snaplen=20), joined(group, snaplen=200)
        send(sender, SOME)
        arrived(group, 3)
        for endpoint, snaplen in ((short, 20), (whole, 200)):
            found = [(each.caplen, each.len, each.ifindex, each.mark, each.vlan_tci) for each in waiting(endpoint)]
            assert found == [(min(snaplen, len(frame)), len(frame), netns_pair.ifindex_b, 5, 0) for frame in SOME]


def test_s79_what_does_not_fit_is_lost_and_counted(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        endpoint = joined(group, slots=16)
        send(sender, map(flow_frame, range(100)))
        arrived(group, 100)
        found = endpoint.statistics()
        assert (found.selected, found.delivered, found.lost) == (100, 16, 84)


def test_s80_limits(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        endpoints = [engine.endpoint(slots=2, snaplen=64, enabled=False) for _ in range(64)]
        assert [each.number for each in endpoints] == list(range(64))
        with pytest.raises(LimitError, match="64 end-points"):
            engine.endpoint()
        endpoints[7].close()
        assert engine.endpoint(enabled=False).number == 7
        for _ in range(64):
            engine.group()
        with pytest.raises(LimitError, match="64 groups"):
            engine.group()
        for weight in (0, 9):
            with pytest.raises(UsageError, match="weight of 1 to 8"):
                endpoints[0].weight = weight
        for classes in (0, 1 << 64, -1):
            with pytest.raises(UsageError, match="classes are a mask"):
                engine.group(0).join(endpoints[0], classes)
        assert len(engine.group(0).counters()) == 64


def test_s81_resetting_the_filter_restores_everything(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        members = [joined(group) for _ in range(2)]
        group.set_filter("udp")
        send(sender, SOME)
        arrived(group, 3)
        group.set_filter(None)
        send(sender, SOME)
        arrived(group, 6)
        for endpoint in members:
            assert [each.data for each in waiting(endpoint)] == [SOME[1], *SOME]
        assert group.statistics().filtered == 2


def test_s82_vlan_filters_begin_empty(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine, netns_pair.sender() as sender:
        group = bound_group(netns_pair, engine)
        selected = []
        for ids in ([], [0], [-1], None):
            group.set_vlans(ids)
            send(sender, SOME)
            arrived(group, 3 * len(selected) + 3)
            selected.append(group.statistics().selected)
        assert selected == [0, 3, 3, 6]


def test_s83_the_last_member_that_leaves_ends_the_group(netns_pair: Pair) -> None:
    with engine_of(netns_pair) as engine:
        group = bound_group(netns_pair, engine, "inc 1")
        group.set_filter("udp")
        first, last = joined(group), joined(group)
        first.disable()
        assert group.bindings
        last.close()
        assert not engine.sides

        def calls(ended: Group) -> list[Callable[[], object]]:
            return [ended.statistics, lambda: ended.set_program("unit"), lambda: ended.join(first)]

        for call in calls(group):
            with pytest.raises(RingClosedError, match="group 0 has ended"):
                call()
        again = engine.group(0)
        assert (again.settings.filter, again.bindings) == (None, ())
        assert first.owner == Owner(os.getpid(), os.getuid())
