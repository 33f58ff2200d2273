"""The outer VLAN tag, in the frame or taken off by the device."""

from __future__ import annotations

import pytest
from support.frames import tcp
from support.handmade import FRAMES, QTAG, STAG, accepted, ask, passed, passing, v4

from pfq.errors import RangeError
from pfq.lang.compile import compile_text
from pfq.lang.packet import Tag
from pfq.lang.prims.vlan import ROWS

TAGGED = {"tcp4 one tag", "tcp4 two tags", "tcp4 three tags", "tag alone"}

ACCEPTED = {
    "has_vlan": TAGGED,
    "has_vid 5": TAGGED - {"tcp4 two tags"},
    "has_vid 9": {"tcp4 two tags"},
    "has_vid 6": set(),
    "has_vid 0": set(FRAMES) - TAGGED,
    "vlan_id [5]": TAGGED - {"tcp4 two tags"},
    "vlan_id [5, 9]": TAGGED,
    "vlan_id [1, 2, 9, 4095]": {"tcp4 two tags"},
    "vlan_id [6]": set(),
    "vlan_id []": set(),
    "vlan_id [-1]": TAGGED,
    "vlan_id [7, -1]": TAGGED,
    "vlan_id [0]": set(FRAMES) - TAGGED,
    "vlan_id [0, 9]": (set(FRAMES) - TAGGED) | {"tcp4 two tags"},
    "vlan_id [0, -1]": set(FRAMES),
}


@pytest.mark.parametrize(("predicate", "names"), ACCEPTED.items(), ids=list(ACCEPTED))
def test_s38_predicate_accepts_exactly(predicate: str, names: set[str]) -> None:
    assert accepted(predicate) == names


@pytest.mark.parametrize("predicate", [text for text in ACCEPTED if "has_vid" not in text])
def test_the_filter_passes_what_the_predicate_accepts(predicate: str) -> None:
    text = predicate.replace("has_vlan", "vlan").replace("vlan_id", "vlan_id_filter")
    assert passing(text) == ACCEPTED[predicate]


def test_all_rows_are_tested_here() -> None:
    assert {prim.name for prim in ROWS} == {"has_vlan", "vlan", "has_vid", "vlan_id", "vlan_id_filter"}


IDS = [
    # control information, id
    (0, 0),
    (1, 1),
    (0xE001, 1),
    (0x1000, 0),
    (0xE000, 0),
    (0x0FFF, 4095),
    (0xFFFF, 4095),
    (0x0100, 256),
]


@pytest.mark.parametrize(("control", "found"), IDS)
@pytest.mark.parametrize("kind", [QTAG, STAG])
@pytest.mark.parametrize("where", ["frame", "device"])
def test_s38_only_the_lower_12_bits_are_the_id(where: str, kind: int, control: int, found: int) -> None:
    tag = Tag(kind, control) if where == "device" else None
    frame = FRAMES["udp6"] if tag else v4(tcp(), tags=[(kind, control)])
    assert ask("has_vlan", frame, tag=tag) is (found != 0)
    assert ask("has_vid", frame, found, tag=tag)
    assert not ask("has_vid", frame, found ^ 1, tag=tag)
    assert ask("vlan_id", frame, (17, found), tag=tag)
    assert not ask("vlan_id", frame, (17, found ^ 1), tag=tag)
    assert ask("vlan_id", frame, (-1,), tag=tag) is (found != 0)
    assert ask("vlan_id_filter", frame, (-1,), tag=tag) is (found != 0)


def test_the_tag_that_the_device_took_off_is_the_outer_one() -> None:
    frame, tag = v4(tcp(), tags=[(QTAG, 5)]), Tag(STAG, 9)
    assert passed("filter (has_vid 9)", frame, tag=tag)
    assert not passed("filter (has_vid 5)", frame, tag=tag)
    assert not passed("vlan", frame, tag=Tag(QTAG, 0))


def test_a_tag_of_an_unknown_type_is_no_vlan() -> None:
    assert not passed("vlan", FRAMES["tcp4 other tag"])


@pytest.mark.parametrize("size", range(19))
def test_a_tag_needs_its_control_information(size: int) -> None:
    assert ask("has_vid", v4(tcp(), tags=[(QTAG, 5)])[:size], 5) is (size >= 16)


def test_the_outer_tag_is_seen_in_a_tunnel_too() -> None:
    assert ask("has_vid", v4(bytes(20), 4, tags=[(QTAG, 5)]), 5, level=1)


REFUSED = [
    ("filter (has_vid 4096)", "there is no VLAN id 4096: ids are 0 to 4095"),
    ("filter (has_vid (-1))", "there is no VLAN id -1: ids are 0 to 4095"),
    ("filter (vlan_id [1, 4096])", "there is no VLAN id 4096: ids are 0 to 4095, and -1 for any but 0"),
    ("vlan_id_filter [-1, -2]", "there is no VLAN id -2: ids are 0 to 4095, and -1 for any but 0"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_ids_out_of_range_are_refused(text: str, message: str) -> None:
    with pytest.raises(RangeError) as refused:
        compile_text(text)
    assert message in str(refused.value)
