"""Statements 1 to 4 and 10 to 13: composition, branches and alternatives.

What an action of these delivers is a function of the action alone, so they are about actions. Statements about
deliveries are in `test_groups`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.statements import Meanings, arp_frame, tcp_frame, udp_frame

from pfq.errors import UnknownNameError
from pfq.lang import compile_text, drop, inc, is_tcp, steer_flow, to_program, when
from pfq.lang.action import ANY_CLASSES, DEFAULT_CLASSES, Action, Event, EventKind, Fanout
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

pytestmark = pytest.mark.agree

TCP, UDP, NOT_IP = tcp_frame(), udp_frame(), arp_frame()
FRAMES = (TCP, UDP, NOT_IP)

EFFECTS = 'inc 5 >-> mark 7 >-> put_state 9 >-> kernel >-> forward "eth0" >-> log_msg "here"'
"""Everything an action does beside the fan-out."""


def noted(action: Action) -> Action:
    """The action that has only the effects of this one."""
    return replace(action, fanout=Fanout.COPY, classes=DEFAULT_CLASSES, hash=0, hash2=0)


AFTER_EFFECTS = Action(
    counters={5: 1}, mark=7, state=9, kernel=True, forwards=["eth0"], events=[Event(EventKind.MESSAGE, "here")]
)


# composition


@pytest.mark.parametrize(
    "text",
    [
        f"{EFFECTS} >-> steer_flow",
        f"broadcast >-> tcp >-> {EFFECTS}",
        "steer_p2p >-> when is_udp (classify 3 >-> drop)",
    ],
)
def test_s01_unit_is_left_and_right_identity(decide: Meanings, text: str) -> None:
    """`unit` is also tried as a call of its own, since composition leaves it out."""
    unit = Call(PRIMS["unit"])
    around = Chain((unit, *(each for call in compile_text(text).main.calls for each in (call, unit))))
    for packet in FRAMES:
        alone = decide(text, packet)
        assert decide(f"unit >-> ({text})", packet) == alone
        assert decide(f"({text}) >-> unit", packet) == alone
        assert decide(Program(around), packet) == alone
    assert decide("unit", TCP) == Action()


TRIPLES = (
    ("inc 1 >-> tcp", "steer_flow", "broadcast"),
    ("par tcp (inc 2 >-> drop)", "kernel >-> inv udp", "inc 3"),
    ("classify 3", "when is_udp drop", "steer_p2p >-> mark 1"),
)


@pytest.mark.parametrize(("f", "g", "h"), TRIPLES)
def test_s02_composition_is_associative(decide: Meanings, f: str, g: str, h: str) -> None:
    ways = (
        f"(({f}) >-> ({g})) >-> ({h})",
        f"({f}) >-> (({g}) >-> ({h}))",
        f"main = both >-> {h}\nboth = {f} >-> {g}",
        f"main = {f} >-> both\nboth = {g} >-> {h}",
    )
    for packet in FRAMES:
        first, *others = (decide(way, packet) for way in ways)
        assert all(other == first for other in others)


def test_s02_in_python() -> None:
    f, g, h = inc(1), when(is_tcp, drop), steer_flow
    assert (
        to_program((f >> g) >> h)
        == to_program(f >> (g >> h))
        == compile_text("inc 1 >-> when is_tcp drop >-> steer_flow")
    )


@pytest.mark.parametrize(
    "dropping", ["drop", "filter is_udp", "udp", "when is_tcp drop", "par udp (port 1)", "when is_tcp (par drop drop)"]
)
def test_s03_after_a_drop_nothing_is_evaluated(decide: Meanings, dropping: str) -> None:
    text = f"{dropping} >-> steer_flow >-> broadcast >-> {EFFECTS}"
    assert decide(text, TCP) == Action(Fanout.DROP)


def test_s03_control(decide: Meanings) -> None:
    """Without the drop all of it happens, or the test above would prove nothing."""
    assert noted(decide(f"udp >-> steer_flow >-> broadcast >-> {EFFECTS}", UDP)) == AFTER_EFFECTS


@pytest.mark.parametrize("dropping", ["drop", "when is_tcp drop", "udp", "inv unit"])
def test_s04_effects_before_a_drop_stay(decide: Meanings, dropping: str) -> None:
    assert decide(f"{EFFECTS} >-> {dropping}", TCP) == replace(AFTER_EFFECTS, fanout=Fanout.DROP)
    assert decide("inc 0 >-> drop", TCP).counters == {0: 1}


# branches


@pytest.mark.parametrize(
    ("short", "long", "on_tcp", "on_udp"),
    [
        ("when is_tcp f", "conditional is_tcp f unit", True, False),
        ("unless is_tcp f", "conditional is_tcp unit f", False, True),
        ("if is_tcp then f else unit", "when is_tcp f", True, False),
    ],
)
def test_s10_branches_are_conditionals(decide: Meanings, short: str, long: str, on_tcp: bool, on_udp: bool) -> None:
    done = "\nf = inc 1 >-> steer_to 3"
    for packet, runs in ((TCP, on_tcp), (UDP, on_udp)):
        wanted = Action(Fanout.MEMBER, hash=3, counters={1: 1}) if runs else Action()
        assert decide(f"main = {short}{done}", packet) == decide(f"main = {long}{done}", packet) == wanted


def test_s10_filter_is_a_conditional(decide: Meanings) -> None:
    for packet, fanout in ((TCP, Fanout.MEMBER), (UDP, Fanout.DROP)):
        kept = decide("steer_to 3 >-> filter is_tcp", packet)
        assert kept == decide("steer_to 3 >-> conditional is_tcp unit drop", packet)
        assert kept.fanout == fanout


def test_s11_inv_exchanges_pass_and_drop(decide: Meanings) -> None:
    assert decide("inv tcp", TCP).fanout == Fanout.DROP
    assert decide("inv tcp", UDP) == Action(Fanout.COPY)
    assert decide("inv (inv tcp)", TCP).fanout == Fanout.COPY
    assert decide("inv (inv tcp)", UDP).fanout == Fanout.DROP


def test_s11_inv_cancels_a_steering_and_keeps_the_class(decide: Meanings) -> None:
    passed = decide("classify 3 >-> steer_to 5 >-> inv (steer_to 6 >-> tcp)", UDP)
    assert (passed.fanout, passed.classes) == (Fanout.COPY, 1 << 3)
    assert decide("classify 3 >-> steer_to 5 >-> inv (steer_to 6 >-> tcp)", TCP).fanout == Fanout.DROP


# alternatives


@pytest.mark.parametrize(
    ("f", "g"), [("tcp", "udp"), ("unit", "drop"), ("drop", "unit"), ("drop", "drop"), ("ip", "tcp")]
)
def test_s12_par_passes_what_one_passes(decide: Meanings, f: str, g: str) -> None:
    for packet in FRAMES:
        one = decide.passes(f, packet) or decide.passes(g, packet)
        assert decide.passes(f"par ({f}) ({g})", packet) is one


def test_s12_the_next_alternative_starts_from_the_fan_out_before(decide: Meanings) -> None:
    first = "broadcast >-> steer_to 6 >-> drop"
    assert decide(f"classify 3 >-> steer_to 5 >-> par ({first}) unit", TCP) == Action(Fanout.MEMBER, 1 << 3, hash=5)
    assert decide(f"par ({first}) unit", TCP) == Action()
    assert decide(f"par ({first}) (steer_to 8)", TCP) == Action(Fanout.MEMBER, hash=8)
    assert decide(f"par3 ({first}) (classify 9 >-> drop) broadcast", TCP) == Action(Fanout.COPY, ANY_CLASSES)


@pytest.mark.parametrize("count", range(2, 9))
def test_s12_alternatives_are_tried_from_left_to_right(decide: Meanings, count: int) -> None:
    """Alternative n passes source port n; port 1 passes at the second alternative, too, which must not run."""
    name = "par" if count == 2 else f"par{count}"
    tries = [
        f"(inc {n} >-> filter (has_src_port {n} .||. has_src_port {n - 1}) >-> put_state {n})"
        for n in range(1, count + 1)
    ]
    for port in (1, 2, count, 60):
        action = decide(f"{name} {' '.join(tries)}", tcp_frame(ports=(port, 80)))
        last = min(port, count)
        assert action.counters == dict.fromkeys(range(1, last + 1), 1)
        assert (action.fanout, action.state) == ((Fanout.COPY, port) if port <= count else (Fanout.DROP, 0))


def test_s12_there_are_at_most_eight() -> None:
    with pytest.raises(UnknownNameError):
        compile_text("par9 " + "ip " * 9)


def test_s13_effects_of_a_failed_alternative_stay(decide: Meanings) -> None:
    assert decide(f"par ({EFFECTS} >-> steer_to 4 >-> drop) unit", TCP) == AFTER_EFFECTS
    twice = decide("par3 (inc 1 >-> mark 2 >-> drop) (inc 1 >-> put_state 3 >-> drop) (inc 1)", TCP)
    assert (twice.counters, twice.mark, twice.state) == ({1: 3}, 2, 3)
