"""An engine takes over what another process has left, while packets flow."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from root.capture.harness import flow_frame, send
from root.engine.adopting import BODY, Place, drained, links, numbers_of, place, read_elsewhere
from root.engine.harness import adds_up, arrived, joined, waiting
from root.network import Pair, eventually, numbered, traffic

from pfq.engine.engine import Engine
from pfq.engine.policy import Owner
from pfq.errors import DeviceGoneError, NotPermittedError, PfqError
from pfq.kernel import devices

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

HOOKS = ("xdp", pytest.param("tcx", marks=pytest.mark.feature("tcx")), "clsact")
RATE_PPS = 20_000


@pytest.fixture
def here(netns_pair: Pair) -> Iterator[Place]:
    with place(netns_pair) as found:
        yield found


def tables(engine: Engine) -> dict[tuple[int, int], bytes]:
    return {(g.number, classes): table.hashed for g in engine.groups.values() for classes, table in g.tables.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("hook", "how"), [("xdp", "SIGKILL"), ("tcx", "SIGSEGV"), ("clsact", "SIGBUS")])
def test_C5_C11_no_packet_is_lost_when_engines_are_killed(here: Place, hook: Any, how: str) -> None:
    """One after the other dies; a reader that has nothing but descriptors gets every packet once."""
    pair = here.pair
    first = here.engine()
    group = first.group(3)
    pair.b.call(group.bind, pair.dev_b, hook=hook)
    group.set_program("inc 7 >-> broadcast")
    endpoint = joined(group, slots=1 << 16, tag="reader")
    before = links(first)
    with read_elsewhere(endpoint, 2.0) as reading:
        assert reading.stdout is not None
        assert reading.stdout.readline() == "reading\n"
        first.close(keep=True)
        with traffic(pair, rate_pps=RATE_PPS) as sender:
            for turn in range(2):
                body = f"assert engine.adopted\nengine.groups[3].set_program('inc {turn} >-> broadcast')"
                with here.dying(body, signal.Signals[how]):
                    time.sleep(0.05)
                time.sleep(0.05)
            engine = here.engine()
            assert engine.adopted
            assert links(engine) == before
            group = engine.groups[3]
            group.set_program("inc 2 >-> broadcast")
            time.sleep(0.05)
        with engine:
            arrived(group, sender.sent)
            counters = group.counters()
            assert sum(counters) == sender.sent
            assert all(counters[which] > 0 for which in (0, 1, 2, 7))
            assert np.array_equal(numbers_of(reading), np.arange(sender.sent))
            found = engine.endpoints[0].statistics()
            assert (found.delivered, found.lost, found.read, found.waiting) == (sender.sent, 0, sender.sent, 0)
            assert engine.endpoints[0].tag == "reader"
    assert here.was_removed()


@pytest.mark.parametrize("hook", HOOKS)
def test_steering_goes_on_as_it_was(here: Place, hook: str) -> None:
    """Members, shares, the memory of who had left; then everything can be changed."""
    frames = [flow_frame(number) for number in range(600)]
    leaves = "\ngroup.leave(engine.endpoints[1])\ngroup.leave(engine.endpoints[2])\ngroup.join(engine.endpoints[2])"
    with here.pair.sender() as sender:
        with here.dying(BODY.format(hook=hook) + leaves):
            send(sender, frames)
        with here.engine() as engine:
            group = engine.groups[0]
            arrived(group, 600)
            assert sorted(group.members) == [0, 2]
            before = {number: len(drained_frames(engine, number)) for number in group.members}
            assert sum(before.values()) == 600
            hashed = tables(engine)
            send(sender, frames)
            arrived(group, 1200)
            assert {number: len(drained_frames(engine, number)) for number in group.members} == before
            group.join(engine.endpoints[1])
            group.leave(engine.endpoints[1])
            assert tables(engine) == hashed, "who joins and leaves changes nothing for the others"
            group.set_program("inc 1 >-> broadcast")
            group.join(engine.endpoints[1])
            send(sender, frames)
            arrived(group, 1800)
            assert [len(drained_frames(engine, number)) for number in range(3)] == [600] * 3
            assert group.counters()[:2] == (1200, 600)
            assert adds_up(group)
            assert [each.tag for each in engine.endpoints.values()] == ["member 0", "member 1", "member 2"]
            assert [each.weight for each in engine.endpoints.values()] == [1, 2, 3]
    assert here.was_removed()


def drained_frames(engine: Engine, number: int) -> list[object]:
    return list(waiting(engine.endpoints[number]))


REMEMBERS = """
group = engine.group()
group.bind("pfqt-b")
group.set_program('flow_inc key_5tuple 1024 60 >-> when (addr_in "10.0.0.0/8") (inc 5) >-> unit')
group.join(engine.endpoint(snaplen=96))
group.replace_set("10.0.0.0/8", ["192.0.2.0/24", "2001:db8::/32"])
"""


def test_what_programs_remember_survives(here: Place) -> None:
    """Flows and sets that were replaced; sets that are replaced again."""
    with here.dying(REMEMBERS):
        pass
    with here.engine() as engine:
        group = engine.groups[0]
        assert group.memory is not None
        (known,) = group.memory.code.plan.sets
        assert group.memory.current_set(known).boundaries4 == (0xC0000200, 0xC0000300)
        assert len(group.memory.current_set(known).boundaries6) == 2
        assert group.reload_sets() == []
        group.replace_set("10.0.0.0/8", ["10.0.0.0/8"])
        assert group.memory.current_set(known).same_addresses(known)


def test_files_of_sets_are_read_again_afterwards(here: Place, tmp_path: Path) -> None:
    file = tmp_path / "set"
    file.write_text("10.0.0.0/8\n")
    body = f"""
group = engine.group(2, held=True, tag="of the test")
group.set_program('filter (addr_in "{file}")')
group.bind("pfqt-b")
open("{file}", "w").write("172.16.0.0/12")
assert group.reload_sets()
"""
    with here.dying(body):
        pass
    with here.engine() as engine:
        group = engine.groups[2]
        assert (group.held, group.tag) == (True, "of the test")
        assert group.reload_sets() == [], "the set is what the file was when it was read last"
        file.write_text("192.168.0.0/16")
        assert group.reload_sets() == [str(file)]


def test_rights_survive(here: Place) -> None:
    body = """
from pfq.engine.policy import Owner
private, restricted = engine.group(1, "private"), engine.group(2, "restricted", held=True)
private.join(engine.endpoint(snaplen=64, owner=Owner(4711, 5)), policy="private")
engine.endpoint(enabled=False, clock="coarse", slots=8, mtu=9000)
"""
    with here.dying(body):
        pass
    with here.engine() as engine:
        first, second = engine.endpoints.values()
        assert first.owner == Owner(4711, 5)
        assert (second.enabled, second.clock, second.slots, second.mtu) == (False, "coarse", 8, 9000)
        assert engine.groups[1].members.keys() == {0}
        for group in engine.groups.values():
            with pytest.raises(NotPermittedError):
                group.join(second)
        engine.groups[2].leave(second)
        assert set(engine.groups) == {1, 2}
        engine.groups[1].leave(first)
        assert set(engine.groups) == {2}, "one that is held stays"


def test_several_devices_and_directions(here: Place) -> None:
    """Groups are fused and unfused as they were; one that sees nothing keeps what it knows."""
    body = """
for number in range(3):
    group = engine.group(number)
    group.set_program(f"inc {number} >-> flow_inc key_5tuple 64 60 >-> unit")
    group.set_filter(None if number else "ip")
    group.set_vlans([0] if number == 1 else None)
    group.bind("pfqt-b", hook="auto" if number else "tcx", direction="inout" if number == 2 else "in")
    group.join(engine.endpoint(snaplen=64))
    group.bind("lo")
engine.groups[1].unbind("pfqt-b")
engine.groups[1].unbind("lo")
"""
    with here.dying(body):
        pass
    with here.engine() as engine, here.pair.sender() as sender:
        assert sorted(engine.sides) == [(1, "in"), (12, "in"), (12, "out")]
        assert all(group.memory is not None for group in engine.groups.values())
        send(sender, [flow_frame(number) for number in range(50)])
        for number in (0, 2):
            arrived(engine.groups[number], 50)
        assert engine.groups[1].statistics().arrived == 0
        here.pair.b.call(engine.groups[1].bind, here.pair.dev_b)
        assert engine.groups[1].settings.vlans == {0}


def test_a_device_that_went_while_nobody_looked(here: Place) -> None:
    """Its bindings end and members are told, also when they ask later; another group goes on."""
    body = BODY.format(hook="auto") + "\nother = engine.group(9, held=True)\nother.bind('lo')"
    with here.dying(body):
        pass
    here.pair.a.run("ip", "link", "del", here.pair.dev_a)
    assert eventually(lambda: not here.pair.b.call(devices.device_by_index, here.pair.ifindex_b))
    with here.engine() as engine:
        assert {key[0] for key in engine.sides} == {1}
        assert engine.groups[0].bindings == ()
        told: list[PfqError] = []
        for endpoint in engine.endpoints.values():
            endpoint.on_failure = told.append
        assert [type(each) for each in told] == [DeviceGoneError] * 3
        with pytest.raises(DeviceGoneError, match="disappeared"):
            engine.endpoints[0].reader.read(timeout=1)


def test_a_device_of_another_name(here: Place) -> None:
    with here.dying(BODY.format(hook="auto")):
        pass
    here.pair.b.run("ip", "link", "set", here.pair.dev_b, "down")
    here.pair.b.run("ip", "link", "set", here.pair.dev_b, "name", "other")
    here.pair.b.run("ip", "link", "set", "other", "up")
    with here.engine() as engine:
        (bound,) = engine.groups[0].bindings
        assert bound.device.name == "other"
        here.pair.b.call(engine.groups[0].unbind, "other")
        assert not engine.sides


def test_promiscuous_mode_is_asked_for_again(here: Place) -> None:
    def is_promiscuous() -> bool:
        return here.pair.b.call(devices.device, here.pair.dev_b).promiscuous

    with here.dying("engine.group(0, held=True).bind('pfqt-b', promiscuous=True)"):
        assert is_promiscuous()
    assert eventually(lambda: not is_promiscuous())
    with here.engine() as engine:
        assert is_promiscuous()
        here.pair.b.call(engine.groups[0].unbind, here.pair.dev_b)
        assert not is_promiscuous()


def test_events_are_told_by_the_next_engine(here: Place) -> None:
    """Those that the dead one did not read, by the program that has gone with it, and those of its own."""
    body = """
group = engine.group(4, held=True)
group.set_program('log_msg "hello"')
group.bind("pfqt-b")
"""
    with here.pair.sender() as sender:
        with here.dying(body):
            send(sender, [flow_frame(0)])
        with here.engine() as engine:
            send(sender, [flow_frame(1)])
            found = []
            assert eventually(lambda: found.extend(engine.events()) or len(found) >= 2)
            assert [(event.text, event.group) for event in found] == [("hello", 4)] * 2


def test_egress_end_points_survive(here: Place) -> None:
    body = """
from pfq.engine.egress import Egress
group = engine.group()
group.bind("pfqt-b", hook="tcx")
group.join(engine.endpoint(egress=Egress("pfqt-b", 0)))
"""
    with here.pair.sender() as sender:
        with here.dying(body):
            pass
        with here.engine() as engine:
            (endpoint,) = engine.endpoints.values()
            assert endpoint.egress is not None
            assert endpoint.egress.queue == 0
            send(sender, [flow_frame(number) for number in range(10)])
            arrived(engine.groups[0], 10)
            assert endpoint.statistics().delivered == 10


def test_a_process_that_ends_without_closing_leaves_it_all(here: Place) -> None:
    """What an exception or a forgotten `close` ends is taken over as what a signal has ended."""
    with here.dying(BODY.format(hook="auto") + "\nprint('ready', flush=True)\nsys.exit(0)"):
        pass
    with here.engine() as engine:
        assert engine.adopted
        assert len(engine.endpoints) == 3


def test_rings_are_not_disturbed(here: Place) -> None:
    """What was not read waits for the next one."""
    with here.pair.sender() as sender:
        with here.dying(BODY.format(hook="auto") + "\ngroup.set_program('broadcast')"):
            sender.send(map(numbered, range(9)))
        with here.engine() as engine:
            arrived(engine.groups[0], 9)
            assert [drained(each.reader) for each in engine.endpoints.values()] == [list(range(9))] * 3


def test_a_device_to_forward_to_that_went_while_nobody_looked(here: Place) -> None:
    """It does not end the take-over: packets are sent there when it is back."""
    body = """
import subprocess
for words in ("add out0 type veth peer name out1", "set out0 up", "set out1 up"):
    subprocess.run(["ip", "link", *words.split()], check=True)
group = engine.group(0, held=True)
group.set_program('forward "out0"')
group.bind("pfqt-b")
subprocess.run(["ip", "link", "del", "out0"], check=True)
"""
    with here.dying(body):
        pass
    with here.engine() as engine, here.pair.sender() as sender:
        group = engine.groups[0]
        assert str(group.settings.program) == 'forward "out0"'
        here.pair.b.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
        for name in ("out0", "out1"):
            here.pair.b.run("ip", "link", "set", name, "up")
        assert eventually(lambda: engine.upkeep.targets.known["out0"] != 0)
        send(sender, [flow_frame(0)])
        arrived(group, 1)
        assert (group.statistics().forwarded, group.statistics().unsent) == (1, 0)


def test_a_device_is_called_what_it_is_called_now(here: Place) -> None:
    with here.engine() as engine:
        group = engine.group()
        here.pair.b.call(group.bind, here.pair.dev_b)
        here.pair.b.run("ip", "link", "set", here.pair.dev_b, "down")
        here.pair.b.run("ip", "link", "set", here.pair.dev_b, "name", "other", "mtu", "1400")
        assert eventually(lambda: [(b.device.name, b.device.mtu) for b in group.bindings] == [("other", 1400)])
        assert [side["name"] for side in json.loads(here.state.read_text())["engine"]["sides"]] == ["other"]
        here.pair.b.call(group.unbind, "other")
        assert not engine.sides


def test_what_was_set_last_is_known_to_the_next(here: Place) -> None:
    body = BODY.format(hook="xdp") + "engine.endpoints[1].weight = 8\n"
    body += "off = engine.endpoint(enabled=False)\noff.snaplen, off.slots, off.clock = 333, 128, 'none'"
    with here.dying(body):
        pass
    with here.engine() as engine:
        assert [each.weight for each in engine.endpoints.values()] == [1, 8, 3, 1]
        off = engine.endpoints[3]
        assert (off.asked, off.clock) == ((333, 128), "none")
