"""Mark, state and counters."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, action

from pfq.errors import RangeError
from pfq.lang.action import Action, Fanout
from pfq.lang.compile import compile_text

TCP = FRAMES["tcp4"]
LARGEST = (1 << 32) - 1


@pytest.mark.parametrize("number", [0, 1, 65535, 65536, LARGEST])
def test_s19_the_mark_has_32_bits(number: int) -> None:
    assert action(f"mark {number} >-> when (has_mark {number}) (inc 0)", TCP) == Action(mark=number, counters={0: 1})


def test_s19_the_mark_of_earlier_groups_is_seen_and_kept() -> None:
    assert action("when (has_mark 9) (inc 0)", TCP, mark=9) == Action(mark=9, counters={0: 1})
    assert action("when (has_mark 9) (inc 0)", TCP, mark=8) == Action(mark=8)


@pytest.mark.parametrize("number", [0, 1, LARGEST])
def test_s18_a_state_that_was_put_is_there(number: int) -> None:
    assert action(f"put_state {number} >-> filter (has_state {number})", TCP) == Action(state=number)


def test_s18_the_state_starts_at_0_for_every_packet() -> None:
    text = "filter (has_state 0) >-> put_state 5"
    assert [action(text, TCP).fanout for _ in range(2)] == [Fanout.COPY, Fanout.COPY]


def test_s21_inc_counts_each_time_it_is_met() -> None:
    assert action("inc 0 >-> inc 63 >-> inc 0", TCP).counters == {0: 2, 63: 1}


def test_s21_dec_takes_one_modulo_64_bits() -> None:
    assert action("dec 0", TCP).counters == {0: (1 << 64) - 1}
    assert action("inc 5 >-> inc 5 >-> dec 5 >-> dec 6", TCP).counters == {5: 1, 6: (1 << 64) - 1}
    assert action("dec 0 >-> inc 0", TCP).counters == {}


@pytest.mark.parametrize("name", ["inc", "dec"])
@pytest.mark.parametrize("number", [64, 100, -1])
def test_there_is_no_counter_above_63(name: str, number: int) -> None:
    with pytest.raises(RangeError, match=f"there is no counter {number}: counters are 0 to 63"):
        compile_text(f"{name} ({number})")


@pytest.mark.parametrize("name", ["mark", "put_state", "has_mark", "has_state"])
def test_33_bits_are_refused(name: str) -> None:
    text = f"filter ({name} {LARGEST + 1})" if name.startswith("has") else f"{name} {LARGEST + 1}"
    with pytest.raises(RangeError, match="out of range"):
        compile_text(text)
