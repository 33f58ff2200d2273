"""Fragments of IPv4 and IPv6 datagrams."""

from __future__ import annotations

import pytest
from support.frames import tcp
from support.handmade import FRAMES, accepted, ask, passing, v4, v6

from pfq.lang.prims.fragments import ROWS

FIRST = {"tcp4 first fragment", "tcp6 first fragment"}
LATER = {"tcp4 later fragment", "tcp4 last fragment", "tcp6 later fragment"}
ACCEPTED = {"is_frag": FIRST | LATER, "is_first_frag": FIRST, "is_later_frag": LATER}
PASSED = {"no_frag": set(FRAMES) - FIRST - LATER, "no_later_frag": set(FRAMES) - LATER}


@pytest.mark.parametrize("name", ACCEPTED)
def test_s35_predicate_accepts_exactly(name: str) -> None:
    assert accepted(name) == ACCEPTED[name]


@pytest.mark.parametrize("name", PASSED)
def test_s35_filter_passes_all_but_the_fragments(name: str) -> None:
    assert passing(name) == PASSED[name]


def test_all_rows_are_tested_here() -> None:
    assert {prim.name for prim in ROWS} == set(ACCEPTED) | set(PASSED)


NO, FIRST_PART, LATER_PART = (False, False, False), (True, True, False), (True, False, True)


def kinds(frame: bytes, level: int = 0) -> tuple[bool, ...]:
    """What the three predicates say; the filters must say the same."""
    found = tuple(ask(name, frame, level=level) for name in ("is_frag", "is_first_frag", "is_later_frag"))
    assert ask("no_frag", frame, level=level) is not found[0]
    assert ask("no_later_frag", frame, level=level) is not found[2]
    return found


WORDS4 = [
    # flags and offset
    (0x0000, NO),
    (0x4000, NO),
    (0x8000, NO),
    (0xC000, NO),
    (0x2000, FIRST_PART),
    (0x6000, FIRST_PART),
    (0x2001, LATER_PART),
    (0x0001, LATER_PART),
    (0x1000, LATER_PART),
    (0x1FFF, LATER_PART),
]


@pytest.mark.parametrize(("word", "wanted"), WORDS4)
def test_s35_ip4_fragments(word: int, wanted: tuple[bool, ...]) -> None:
    assert kinds(v4(tcp(), parts=word)) == wanted
    assert kinds(v4(tcp(), parts=word, options=b"\1" * 8)) == wanted


def test_a_fragment_needs_no_layer_4() -> None:
    assert kinds(v4(b"", parts=0x2000)) == FIRST_PART
    assert kinds(v4(b"", parts=0x0001)) == LATER_PART


CHAINS6 = [
    # extension headers: (kind, length, fragment word)
    ([(44, 0, 0)], NO),
    ([(44, 0, 6)], NO),
    ([(44, 0, 1)], FIRST_PART),
    ([(44, 0, 8)], LATER_PART),
    ([(44, 0, 9)], LATER_PART),
    ([(44, 0, 0xFFF8)], LATER_PART),
    ([(0, 0, 0), (60, 1, 0), (44, 0, 8)], LATER_PART),
    ([(44, 0, 1), (60, 0, 0)], FIRST_PART),
    ([(44, 0, 8), (60, 0, 0)], LATER_PART),
    ([(44, 0, 0), (44, 0, 8)], LATER_PART),
    ([(44, 0, 1), (44, 0, 0)], FIRST_PART),
    # a chain that is too long, or ends past the window, hides what follows
    ([(60, 0, 0)] * 9, NO),
    ([(60, 0, 0)] * 8 + [(44, 0, 8)], NO),
    ([(60, 0, 0)] * 7 + [(44, 0, 8)], LATER_PART),
    ([(44, 0, 1)] + [(60, 0, 0)] * 9, FIRST_PART),
    ([(60, 60, 0), (44, 0, 8)], NO),
    ([(44, 0, 1), (60, 60, 0)], FIRST_PART),
    ([(44, 0, 1), (60, 60, 0), (60, 0, 0)], FIRST_PART),
]


@pytest.mark.parametrize(("chain", "wanted"), CHAINS6)
def test_s35_ip6_fragments(chain: list[tuple[int, int, int]], wanted: tuple[bool, ...]) -> None:
    assert kinds(v6(tcp(), chain=chain)) == wanted


def test_a_cut_fragment_header_is_none() -> None:
    assert kinds(v6(b"", chain=[(44, 0, 8)])[:-1]) == NO
    assert kinds(v6(b"", chain=[(44, 0, 8)])) == LATER_PART


def test_inside_a_tunnel_the_inner_packet_is_looked_at() -> None:
    inner = v4(tcp(), parts=0x2001)[14:]
    assert kinds(v4(inner, 4)) == NO
    assert kinds(v4(inner, 4), level=1) == LATER_PART
    assert kinds(v4(inner, 4, parts=0x2001), level=1) == NO
