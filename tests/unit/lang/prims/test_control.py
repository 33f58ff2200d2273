"""Control and the logic of predicates: behaviour statements 1 to 4 and 10 to 14, on single frames."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, action, passed

from pfq.lang.action import ANY_CLASSES, DEFAULT_CLASSES, Action, Fanout

TCP, UDP, ARP = FRAMES["tcp4"], FRAMES["udp4"], FRAMES["arp"]


def test_unit_changes_nothing() -> None:
    assert action("unit", TCP) == Action()


def test_filter() -> None:
    assert action("filter is_tcp", TCP) == Action()
    assert action("filter is_tcp", UDP) == Action(fanout=Fanout.DROP)
    assert action("keep is_tcp", UDP) == Action(fanout=Fanout.DROP)


def test_s10_when() -> None:
    assert action("when is_tcp (mark 1)", TCP).mark == 1
    assert action("when is_tcp (mark 1)", UDP) == Action()


def test_s10_unless() -> None:
    assert action("unless is_tcp (mark 1)", TCP) == Action()
    assert action("unless is_tcp (mark 1)", UDP).mark == 1


def test_s10_conditional() -> None:
    text = "conditional is_tcp (mark 1) (mark 2)"
    assert action(text, TCP).mark == 1
    assert action(text, UDP).mark == 2


def test_a_drop_inside_a_branch_ends_the_whole_chain() -> None:
    assert action("when is_tcp drop >-> mark 1", TCP) == Action(fanout=Fanout.DROP)
    assert action("when is_tcp drop >-> mark 1", UDP) == Action(mark=1)
    assert action("when is_tcp (when is_ip drop) >-> mark 1", TCP) == Action(fanout=Fanout.DROP)


def test_s11_inv_passes_what_is_dropped() -> None:
    assert action("inv udp", TCP) == Action()
    assert action("inv udp", UDP) == Action(fanout=Fanout.DROP)


def test_s11_inv_cancels_an_earlier_steering_and_keeps_the_classes() -> None:
    found = action("steer_to 3 >-> classify 2 >-> inv drop", TCP)
    assert (found.fanout, found.classes) == (Fanout.COPY, 1 << 2)


def test_s11_effects_inside_inv_stay() -> None:
    assert action("inv (mark 7 >-> drop)", TCP) == Action(mark=7)
    assert action("inv (mark 7)", TCP) == Action(fanout=Fanout.DROP, mark=7)


def test_s12_par_passes_when_one_passes() -> None:
    assert [passed("par udp tcp", frame) for frame in (TCP, UDP, ARP)] == [True, True, False]


def test_s12_the_second_is_not_run_when_the_first_passes() -> None:
    assert action("par (mark 1) (mark 2)", TCP).mark == 1


def test_s12_the_second_starts_from_the_fanout_before_the_first() -> None:
    found = action("steer_to 3 >-> par (broadcast >-> drop) (mark 1)", TCP)
    assert (found.fanout, found.hash, found.classes) == (Fanout.MEMBER, 3, DEFAULT_CLASSES)
    first = action("steer_to 3 >-> par (broadcast) (mark 1)", TCP)
    assert (first.fanout, first.classes, first.mark) == (Fanout.COPY, ANY_CLASSES, 0)


def test_s13_side_effects_of_a_failed_alternative_stay() -> None:
    text = "par (mark 5 >-> put_state 6 >-> inc 7 >-> kernel >-> drop) unit"
    assert action(text, TCP) == Action(mark=5, state=6, counters={7: 1}, kernel=True)


@pytest.mark.parametrize("p", [False, True])
@pytest.mark.parametrize("q", [False, True])
def test_s14_logic(p: bool, q: bool) -> None:
    a, b = ("is_tcp" if truth else "is_udp" for truth in (p, q))
    assert passed(f"filter ({a} .&&. {b})", TCP) == (p and q)
    assert passed(f"filter ({a} .||. {b})", TCP) == (p or q)
    assert passed(f"filter ({a} .^^. {b})", TCP) == (p != q)
    assert passed(f"filter (not {a})", TCP) == (not p)
