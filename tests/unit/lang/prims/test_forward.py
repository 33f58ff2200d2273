"""Where a packet goes apart from steering."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, action

from pfq.errors import RangeError
from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, Action, Fanout
from pfq.lang.compile import compile_text

TCP = FRAMES["tcp4"]


def test_drop() -> None:
    assert action("drop", TCP) == Action(fanout=Fanout.DROP)


def test_s03_what_follows_a_drop_is_not_run() -> None:
    assert action("drop >-> mark 1 >-> put_state 2 >-> inc 3 >-> kernel", TCP) == Action(fanout=Fanout.DROP)


def test_s04_effects_before_a_drop_stay() -> None:
    found = action("mark 1 >-> put_state 2 >-> inc 3 >-> kernel >-> drop", TCP)
    assert found == Action(fanout=Fanout.DROP, mark=1, state=2, counters={3: 1}, kernel=True)


def test_s06_broadcast_after_a_steering_is_a_copy_to_all_but_control() -> None:
    found = action("steer_flow >-> broadcast", TCP)
    assert (found.fanout, found.classes) == (Fanout.COPY, ANY_CLASSES)
    assert not found.classes >> CONTROL_CLASS & 1
    assert found.classes == 2**63 - 1


def test_s07_the_last_steering_wins_and_kernel_leaves_it() -> None:
    found = action("steer_flow >-> steer_to 2 >-> kernel", TCP)
    assert (found.fanout, found.hash, found.kernel) == (Fanout.MEMBER, 2, True)


@pytest.mark.parametrize("number", [1, 2, 62, 63])
def test_s08_classify_sets_the_one_class(number: int) -> None:
    assert action(f"classify {number}", TCP) == Action(classes=1 << number)


def test_s08_classify_0_changes_nothing() -> None:
    assert action("classify 2 >-> classify 0", TCP) == Action(classes=1 << 2)


@pytest.mark.parametrize("number", [64, 1000])
def test_there_is_no_class_above_63(number: int) -> None:
    with pytest.raises(RangeError, match=f"there is no class {number}: classes are 0 to 63"):
        compile_text(f"classify {number}")


def test_s09_broadcast_then_steering_keeps_all_classes() -> None:
    found = action("broadcast >-> steer_rrobin", TCP)
    assert (found.fanout, found.classes) == (Fanout.ROBIN, ANY_CLASSES)


def test_kernel_is_a_note_on_the_packet() -> None:
    assert action("kernel", TCP) == Action(kernel=True)
    assert action("kernel >-> drop", TCP) == Action(fanout=Fanout.DROP, kernel=True)
