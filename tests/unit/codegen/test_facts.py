"""Facts: each gets one slot, and the sizes to test for follow from what was asked."""

from __future__ import annotations

import pytest

from pfq.codegen.facts import AddressHash, Bytes, Facts, Fragment, Present, Protocol, Version
from pfq.codegen.layouts import MAX_FACTS
from pfq.errors import TooBigError


def facts(*asked: object) -> Facts:
    found = Facts()
    for fact in asked:
        found.slot(fact)  # type: ignore[arg-type]
    return found


def test_a_fact_has_one_slot() -> None:
    found = Facts()
    slots = [found.slot(fact) for fact in (Version(), Fragment(), Version(), Bytes("l4", 0, 2), Bytes("l4", 0, 2))]
    assert slots == [0, 1, 0, 2, 2]


def test_what_differs_in_anything_is_another_fact() -> None:
    asked = [Bytes("l4", 0, 2), Bytes("l4", 2, 2), Bytes("l4", 0, 4), Bytes("ip4", 0, 2), Present("l4", 2)]
    assert len(facts(*asked).slots) == len(asked)


def test_sizes_are_those_asked_for_and_the_ends_of_bytes() -> None:
    found = facts(Present("l4", 20), Bytes("l4", 2, 2), Bytes("l4", 0, 2), Present("l4", 8), Bytes("ip4", 8, 1))
    assert found.sizes_of("l4") == [2, 4, 8, 20]
    assert found.sizes_of("ip4") == [9]
    assert found.sizes_of("frame") == []


@pytest.mark.parametrize(
    ("asked", "need_ip", "need_l4"),
    [
        ([], False, False),
        ([Bytes("frame", 12, 2), Present("frame", 14)], False, False),
        ([Version()], True, False),
        ([Protocol()], True, False),
        ([AddressHash("src")], True, False),
        ([Bytes("ip6", 7, 1)], True, False),
        ([Present("l4", 8)], True, True),
        ([Bytes("l4", 0, 2)], True, True),
    ],
)
def test_how_far_the_headers_must_be_read(asked: list[object], need_ip: bool, need_l4: bool) -> None:
    found = facts(*asked)
    assert (found.need_ip, found.need_l4) == (need_ip, need_l4)


def test_wanted_and_bytes_of() -> None:
    found = facts(Version(), Bytes("l4", 0, 2), Protocol(), Bytes("ip4", 8, 1))
    assert found.wanted(Version, Protocol) == [Version(), Protocol()]
    assert found.bytes_of("l4") == [Bytes("l4", 0, 2)]


def test_there_is_room_for_so_many_and_no_more() -> None:
    found = facts(*(Bytes("frame", offset, 1) for offset in range(MAX_FACTS)))
    assert found.slot(Bytes("frame", 0, 1)) == 0
    with pytest.raises(TooBigError, match=f"reads more than {MAX_FACTS} different header fields"):
        found.slot(Version())
