"""The table of primitives is whole: every row can be understood, compiled and run."""

from __future__ import annotations

import re

import pytest
from support.handmade import FRAMES
from support.programs import EVERY_PRIMITIVE

from pfq.lang.build import TYPE_OF_KIND
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.prims import PRIMS, Kind, Prim, Table
from pfq.lang.program import calls_of
from pfq.lang.typeparser import type_of
from pfq.lang.types import parameters

ROWS = [pytest.param(prim, id=prim.name) for prim in PRIMS.values()]

NAMES = """
unit drop broadcast classify kernel ip ip6 tcp udp icmp flow port src_port dst_port addr src_addr dst_addr
is_ip is_ip6 is_tcp is_udp is_icmp is_flow has_port has_src_port has_dst_port has_addr has_src_addr
has_dst_addr filter when unless conditional inv par and or xor not ip_ttl ip_tot_len tcp_source tcp_dest
udp_source udp_dest less less_eq equal not_equal greater greater_eq any_bit all_bit steer_flow steer_p2p
steer_rrobin steer_to mark put_state has_mark has_state inc
"""


def test_these_primitives_are_there() -> None:
    assert sorted(PRIMS) == sorted(NAMES.split())


@pytest.mark.parametrize("prim", ROWS)
def test_the_meaning_is_one_sentence(prim: Prim) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[A-Za-z0-9)`]\.", prim.doc)
    assert prim.family


@pytest.mark.parametrize("prim", ROWS)
def test_the_type_can_be_read_and_says_the_kind(prim: Prim) -> None:
    _, result = parameters(type_of(prim.type))
    assert result == TYPE_OF_KIND[prim.kind]


@pytest.mark.parametrize("prim", ROWS)
def test_the_example_is_a_program_that_uses_it(prim: Prim) -> None:
    program = compile_text(prim.example)
    if prim.name != "unit":
        assert prim in {call.prim for call in calls_of(program.main)}
    decide(program, FRAMES["tcp4"])


@pytest.mark.parametrize("prim", ROWS)
def test_it_has_a_meaning_for_every_frame(prim: Prim) -> None:
    for frame in FRAMES.values():
        decide(EVERY_PRIMITIVE[prim.name], frame)


def test_aliases_find_the_same_row() -> None:
    assert PRIMS["keep"] is PRIMS["filter"]
    for prim in PRIMS.values():
        for alias in prim.aliases:
            assert PRIMS[alias] is prim
    assert len(PRIMS.names()) == len(set(PRIMS.names())) == len(PRIMS) + sum(len(p.aliases) for p in PRIMS.values())


def test_iteration_gives_no_alias() -> None:
    assert "keep" not in list(PRIMS)
    assert "keep" in PRIMS


def test_an_unknown_name_is_no_row() -> None:
    with pytest.raises(KeyError):
        PRIMS["steer_flwo"]
    assert "steer_flwo" not in PRIMS


def row(name: str, *aliases: str, type: str = "Packet -> Bool") -> Prim:
    return Prim(name=name, type=type, doc="True.", run=bool, lower=bool, example=name, aliases=aliases)


@pytest.mark.parametrize("second", [row("a"), row("b"), row("c", "a"), row("c", "b")])
def test_a_name_is_taken_once(second: Prim) -> None:
    table = Table()
    table.add(row("a", "b"))
    with pytest.raises(ValueError, match="is in the table already"):
        table.add(second)


def test_a_type_without_a_known_result_is_refused() -> None:
    with pytest.raises(ValueError, match="a: type `Word16` ends with no known result"):
        _ = row("a", type="Word16").kind


def test_kinds() -> None:
    assert PRIMS["ip"].kind is Kind.ACTION
    assert PRIMS["is_ip"].kind is Kind.PREDICATE
    assert PRIMS["ip_ttl"].kind is Kind.PROPERTY
    assert PRIMS["and"].kind is Kind.PREDICATE
