"""Core text, and that it is read back as the same program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.canonical import actions, programs

from pfq.lang.build import Term, composed
from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table
from pfq.lang.program import Call, Chain, Program
from pfq.lang.show import show

from .conftest import small_table

SMALL = small_table()


@pytest.mark.parametrize("table", [PRIMS, SMALL], ids=["all", "small"])
@given(data=st.data())
def test_core_text_is_read_back(table: Table, data: st.DataObject) -> None:
    program = data.draw(programs(table))
    assert compile_text(show(program), table=table) == program


@given(f=actions(PRIMS, 2), g=actions(PRIMS, 2), h=actions(PRIMS, 1))
def test_composition_is_associative_with_identity(f: Term, g: Term, h: Term) -> None:
    unit = Term(Chain(), 0, 0)
    assert composed([composed([f, g]), h]).value == composed([f, composed([g, h])]).value
    assert composed([unit, f]).value == f.value == composed([f, unit]).value


@given(f=actions(PRIMS, 2), g=actions(PRIMS, 2), h=actions(PRIMS, 1))
def test_composition_in_text_is_associative_with_identity(f: Term, g: Term, h: Term) -> None:
    a, b, c = (f"({show_term(term)})" for term in (f, g, h))
    flat = compile_text(f"{a} >-> {b} >-> {c}")
    assert compile_text(f"({a} >-> {b}) >-> {c}") == flat
    assert compile_text(f"{a} >-> ({b} >-> {c})") == flat
    assert compile_text(f"main = do {{ {a}; unit; {b}; {c} }}") == flat
    assert compile_text(f"unit >-> {a} >-> {b} >-> {c} >-> unit") == flat


def show_term(term: Term) -> str:
    return show(term.value)


def test_parts() -> None:
    program = compile_text("ip >-> filter (ip_ttl .< 5 .&&. is_tcp)")
    filter_call = program.main.calls[1]
    predicate = filter_call.args[0]
    assert isinstance(predicate, Call)
    assert show(filter_call) == "filter (ip_ttl .< 5 .&&. is_tcp)"
    assert show(predicate) == str(predicate) == "ip_ttl .< 5 .&&. is_tcp"
    assert show(predicate.args[0]) == "ip_ttl .< 5"  # type: ignore[arg-type]
    assert str(program) == str(program.main) == show(program)
    assert show(Program(Chain())) == "unit"


def test_hand_made_trees_mean_the_same_when_read_back() -> None:
    connective, tcp, udp, icmp = (
        Call(PRIMS[name]) if name != "or" else PRIMS[name] for name in ("or", "is_tcp", "is_udp", "is_icmp")
    )
    uneven = Call(connective, (tcp, Call(connective, (udp, icmp))))
    program = Program(Chain((Call(PRIMS["filter"], (uneven,)),)))
    assert show(program) == "filter (is_tcp .||. is_udp .||. is_icmp)"
