"""The laws of the language, on random programs and frames (behaviour statements 1 to 18)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import frames
from support.handmade import FRAMES, action
from support.programs import any_call, chains

from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import Machine, World, decide
from pfq.lang.packet import Packet
from pfq.lang.prims import PRIMS, Kind
from pfq.lang.program import Call, Chain, Program, Value
from pfq.lang.show import show

pytestmark = pytest.mark.slow

actions = chains(2, 3)
predicates = any_call(Kind.PREDICATE, 2)
marks = st.integers(0, 0xFFFFFFFF)

UNIT, DROP = Call(PRIMS["unit"]), Call(PRIMS["drop"])


def machine_for(packet: Packet) -> Machine:
    return Machine(packet, 0, World(), {})


def run(*parts: Call | Chain, frame: bytes, mark: int = 0) -> Action:
    """What the parts decide, one after another."""
    calls = [call for part in parts for call in (part.calls if isinstance(part, Chain) else (part,))]
    return decide(Program(Chain(tuple(calls))), frame, mark=mark)


def call(name: str, *args: Value) -> Call:
    return Call(PRIMS[name], args)


@given(f=actions, frame=frames(), mark=marks)
def test_s01_unit_is_the_identity(f: Chain, frame: bytes, mark: int) -> None:
    wanted = run(f, frame=frame, mark=mark)
    assert run(UNIT, f, frame=frame, mark=mark) == wanted
    assert run(f, UNIT, frame=frame, mark=mark) == wanted


@given(f=actions, g=actions, h=actions, frame=frames())
def test_s02_composition_is_associative(f: Chain, g: Chain, h: Chain, frame: bytes) -> None:
    left = compile_text(f"({show(f)} >-> {show(g)}) >-> ({show(h)})")
    right = compile_text(f"({show(f)}) >-> ({show(g)} >-> {show(h)})")
    assert left == right
    assert decide(left, frame) == run(f, g, h, frame=frame)


@given(f=actions, g=actions, frame=frames())
def test_composition_runs_one_after_the_other(f: Chain, g: Chain, frame: bytes) -> None:
    machine = machine_for(Packet(frame))
    if machine.run(f):
        machine.run(g)
    assert machine.action == run(f, g, frame=frame)


@given(f=actions, g=actions, frame=frames())
def test_s03_drop_absorbs_what_follows(f: Chain, g: Chain, frame: bytes) -> None:
    assert run(f, DROP, g, frame=frame) == run(f, DROP, frame=frame)


@given(f=actions, frame=frames())
def test_s04_effects_before_a_drop_stay(f: Chain, frame: bytes) -> None:
    assert run(f, DROP, frame=frame) == replace(run(f, frame=frame), fanout=Fanout.DROP)


@given(f=actions, g=actions, frame=frames())
def test_nothing_follows_once_dropped(f: Chain, g: Chain, frame: bytes) -> None:
    first = run(f, frame=frame)
    if first.fanout is Fanout.DROP:
        assert run(f, g, frame=frame) == first


LAST = {
    "broadcast": (Fanout.COPY, None),
    "steer_rrobin": (Fanout.ROBIN, None),
    "steer_to 9": (Fanout.MEMBER, 9),
}


@pytest.mark.parametrize("text", LAST)
@given(f=actions, frame=frames())
def test_s07_the_last_fanout_wins(text: str, f: Chain, frame: bytes) -> None:
    before = run(f, frame=frame)
    found = run(f, compile_text(text).main, frame=frame)
    if before.fanout is Fanout.DROP:
        assert found == before
        return
    kind, hashed = LAST[text]
    assert found.fanout is kind
    assert hashed is None or found.hash == hashed
    assert found.classes == (ANY_CLASSES if text == "broadcast" else before.classes)
    for name in ("mark", "state", "kernel", "counters"):
        assert getattr(found, name) == getattr(before, name)


@given(p=predicates, f=actions, frame=frames())
def test_s10_when_unless_and_filter_are_conditionals(p: Call, f: Chain, frame: bytes) -> None:
    unit, drop = Chain(), Chain((DROP,))
    equal = [
        (call("when", p, f), call("conditional", p, f, unit)),
        (call("unless", p, f), call("conditional", p, unit, f)),
        (call("filter", p), call("conditional", p, unit, drop)),
    ]
    for short, long in equal:
        assert run(short, frame=frame) == run(long, frame=frame)


@given(f=actions, frame=frames(), mark=marks)
def test_s11_inv_passes_exactly_what_is_dropped(f: Chain, frame: bytes, mark: int) -> None:
    inside = run(f, frame=frame, mark=mark)
    found = run(call("inv", f), frame=frame, mark=mark)
    dropped = inside.fanout is Fanout.DROP
    assert found == replace(inside, fanout=Fanout.COPY if dropped else Fanout.DROP)


@given(before=actions, f=actions, g=actions, frame=frames())
def test_s12_s13_par(before: Chain, f: Chain, g: Chain, frame: bytes) -> None:
    start = run(before, frame=frame)
    found = run(before, call("par", f, g), frame=frame)
    if start.fanout is Fanout.DROP:
        assert found == start
        return
    first = run(before, f, frame=frame)
    if first.fanout is not Fanout.DROP:
        assert found == first
        return
    # The second runs on what the first left, but with the fan-out from before.
    machine = machine_for(Packet(frame))
    restored = {name: getattr(start, name) for name in ("fanout", "classes", "hash", "hash2")}
    machine.action = replace(first, counters=dict(first.counters), **restored)
    machine.run(g)
    assert found == machine.action


@given(p=predicates, q=predicates, frame=frames())
def test_s14_logic(p: Call, q: Call, frame: bytes) -> None:
    def holds(predicate: Call) -> bool:
        return machine_for(Packet(frame)).test(predicate)

    assert holds(call("and", p, q)) == (holds(p) and holds(q))
    assert holds(call("or", p, q)) == (holds(p) or holds(q))
    assert holds(call("xor", p, q)) == (holds(p) != holds(q))
    assert holds(call("not", p)) == (not holds(p))


@pytest.mark.parametrize(("name", "first"), [("and", False), ("or", True)])
def test_s14_the_second_is_not_tested_when_the_first_decides(name: str, first: bool) -> None:
    asked = []

    def ask(machine: Machine) -> bool:
        asked.append(True)
        return True

    never = Call(replace(PRIMS["is_ip"], run=ask))
    known = call("is_tcp") if first else call("is_udp")
    machine = machine_for(Packet(FRAMES["tcp4"]))
    assert machine.test(call(name, known, never)) is first
    assert asked == []


@given(p=predicates, frame=frames(), mark=marks)
def test_a_predicate_changes_nothing(p: Call, frame: bytes, mark: int) -> None:
    found = run(call("when", p, Chain()), frame=frame, mark=mark)
    assert found == Action(mark=mark)


@given(f=actions, frame=frames())
def test_s18_every_packet_starts_afresh(f: Chain, frame: bytes) -> None:
    program = Program(f)
    first = decide(program, frame)
    decide(program, FRAMES["tcp4"])
    assert decide(program, frame) == first


def test_s05_the_empty_program_copies_to_class_0() -> None:
    for frame in FRAMES.values():
        assert action("unit", frame) == Action() == decide(Program(Chain()), frame)


def test_a_property_that_is_absent_has_no_value() -> None:
    assert machine_for(Packet(FRAMES["arp"])).value(call("ip_ttl")) is None
    assert machine_for(Packet(FRAMES["tcp4"])).value(call("ip_ttl")) == 64


def test_the_mark_is_what_earlier_groups_left() -> None:
    assert action("unit", FRAMES["tcp4"], mark=7) == Action(mark=7)
