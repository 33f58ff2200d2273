"""The action a packet starts with, and numbers that other parts rely on."""

from __future__ import annotations

from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, COUNTERS, DEFAULT_CLASSES, Action, Fanout


def test_a_packet_starts_as_a_copy_to_class_0() -> None:
    start = Action()
    assert (start.fanout, start.classes) == (Fanout.COPY, 1)
    assert (start.hash, start.hash2, start.kernel, start.mark, start.state, start.counters) == (0, 0, False, 0, 0, {})


def test_actions_do_not_share_their_counters() -> None:
    first = Action()
    first.counters[0] = 1
    assert Action().counters == {}


def test_any_class_is_every_class_but_control() -> None:
    assert [number for number in range(64) if not ANY_CLASSES >> number & 1] == [CONTROL_CLASS] == [63]
    assert ANY_CLASSES & DEFAULT_CLASSES


def test_drop_is_the_false_fanout() -> None:
    assert [bool(kind) for kind in Fanout] == [False, True, True, True, True, True]


def test_there_are_64_counters() -> None:
    assert COUNTERS == 64
