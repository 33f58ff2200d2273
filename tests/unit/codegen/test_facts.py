"""Facts: each gets one slot, and the sizes to test for follow from what was asked."""

from __future__ import annotations

import pytest

from pfq.codegen.facts import (
    AddressHash,
    Bytes,
    EtherType,
    Facts,
    Fragment,
    HalfInUse,
    Ingress,
    L4Offset,
    Length,
    Now,
    Present,
    Protocol,
    TagControl,
    TagType,
    Transport,
    Version,
    Wire,
)
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
    asked = [
        *(Bytes("l4", 0, 2), Bytes("l4", 2, 2), Bytes("l4", 0, 4), Bytes("ip4", 0, 2), Bytes("l4", 0, 2, level=1)),
        *(Present("l4", 2), Present("l4", 2, level=2), Version(), Version(1), AddressHash("src"), AddressHash("dst")),
        *(Wire(0, 2), Wire(2, 2), Wire(0, 4), TagControl(), TagType(), EtherType(), Length(), Ingress(), Now()),
        *(HalfInUse(0), HalfInUse(64)),
    ]
    assert len(facts(*asked).slots) == len(asked)


def test_sizes_are_those_asked_for_and_the_ends_of_bytes() -> None:
    ports, ttl, mac = Bytes("l4", 0, 4), Bytes("ip4", 8, 1), Bytes("frame", 6, 4)
    found = facts(mac, Present("frame", 14), ports, ttl)
    assert found.parts("frame", 0) == [(10, [mac]), (14, [Present("frame", 14)])]
    assert found.parts("l4", 0) == [(4, [ports])]
    assert found.parts("ip4", 0) == [(9, [ttl])]
    assert found.parts("ip6", 0) == []


def test_bytes_of_layer_4_are_read_when_a_size_asked_for_is_there() -> None:
    source, flags = Bytes("l4", 0, 2), Bytes("l4", 13, 1)
    tcp, udp = Transport(20), Transport(8)
    found = facts(tcp, source, udp, Present("l4", 8), flags, Bytes("l4", 20, 2))
    assert found.parts("l4", 0) == [
        (8, [udp, Present("l4", 8), source]),
        (20, [tcp, flags]),
        (22, [Bytes("l4", 20, 2)]),
    ]


def test_each_level_has_sizes_of_its_own() -> None:
    asked = (Bytes("l4", 0, 2), Present("l4", 8, level=1), Transport(20, level=2), Bytes("ip6", 8, 16, level=1))
    found = facts(*asked)
    assert [[size for size, _ in found.parts("l4", level)] for level in range(4)] == [[2], [8], [20], []]
    assert found.parts("ip6", 0) == []
    assert found.parts("ip6", 1) == [(24, [asked[3]])]
    assert found.bytes_of("ip6", 1) == [Bytes("ip6", 8, 16, level=1)]
    assert found.bytes_of("ip6", 0) == []


@pytest.mark.parametrize(
    ("asked", "need_network", "levels", "need_l4"),
    [
        ([], False, 0, False),
        ([Bytes("frame", 12, 2), Present("frame", 14)], False, 0, False),
        ([Length(), Ingress(), Now(), HalfInUse(0), TagControl(), TagType(), Wire(14, 2)], False, 0, False),
        ([EtherType()], True, 0, False),
        ([Version()], True, 1, False),
        ([Fragment()], True, 1, False),
        ([Protocol()], True, 1, False),
        ([AddressHash("src")], True, 1, False),
        ([Bytes("ip6", 7, 1)], True, 1, False),
        ([L4Offset()], True, 1, True),
        ([Present("l4", 8)], True, 1, True),
        ([Bytes("l4", 0, 2)], True, 1, True),
        ([Version(1)], True, 2, True),
        ([Bytes("ip4", 8, 1, level=3)], True, 4, True),
    ],
)
def test_how_far_the_headers_must_be_read(asked: list[object], need_network: bool, levels: int, need_l4: bool) -> None:
    found = facts(*asked)
    assert (found.need_network, found.levels, found.need_l4(0)) == (need_network, levels, need_l4)


def test_behind_the_last_header_asked_for_nothing_matters() -> None:
    found = facts(Version(1), Bytes("l4", 0, 2))
    assert (found.need_l4(0), found.need_l4(1), found.need_l4(2)) == (True, False, False)


@pytest.mark.parametrize(("fact", "needed"), [(TagControl(), True), (TagType(), True), (EtherType(), False)])
def test_whether_the_tag_matters(fact: object, needed: bool) -> None:
    assert facts(fact).need_tag is needed


def test_facts_of_one_kind() -> None:
    mixed = [Version(), Bytes("l4", 0, 2), HalfInUse(64), Wire(4, 4), Version(1), Bytes("ip4", 8, 1), Wire(0, 1)]
    found = facts(*mixed, EtherType(), HalfInUse(0))
    assert found.bytes_of("l4", 0) == [Bytes("l4", 0, 2)]
    assert found.wires() == [Wire(4, 4), Wire(0, 1)]
    assert found.halves() == [HalfInUse(64), HalfInUse(0)]


def test_there_is_room_for_so_many_and_no_more() -> None:
    found = facts(*(Bytes("frame", offset, 1) for offset in range(MAX_FACTS)))
    assert found.slot(Bytes("frame", 0, 1)) == 0
    with pytest.raises(TooBigError, match=f"reads more than {MAX_FACTS} different header fields"):
        found.slot(Version())
