"""Any text is a program or is refused with errors that can be printed (row V4 of the reliability catalogue)."""

from __future__ import annotations

import json
import os
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.canonical import programs

from pfq.cli import commands
from pfq.errors import ProgramError, ProgramErrors
from pfq.lang.build import parameter_types
from pfq.lang.compile import compile_text
from pfq.lang.jsonform import from_json, to_json
from pfq.lang.operators import LOGIC
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program, Value
from pfq.lang.show import show
from pfq.lang.types import ACTION, PREDICATE, PROPERTY, STRING, Type

VOCABULARY = r"""
ip is_tcp port has_port 80 addr 10.0.0.0/8 ::1 "10.0.0.1" when unless filter not and or ip_ttl any_bit mark f
g x main = -> :: \ ( ) [ ] , ; { } ` $ >-> .&&. .||. .^^. .< .== <. + - * .|. <> do let in where if then else
import module qualified as Lib.A D.ip Word16 Packet Action CIDR True case -- {- -} ' " # § && < >> 70000 1.2.3
<-
"""
WORDS = VOCABULARY.split()
JOINS = (" ", " ", " ", "", "\n", "\n  ", "\n    ", "\t")

soups = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(JOINS)), max_size=25).map(
    lambda pairs: "".join(word + join for word, join in pairs)
)


def compile_or_refuse(text: str) -> None:
    try:
        program = compile_text(text)
    except ProgramError as fault:
        str(fault)
    else:
        assert compile_text(show(program)) == program


@given(text=st.one_of(soups, soups.map("main = ".__add__), soups.map("f x = ip\nmain = do\n  ".__add__)))
@example("main = f where f x = f")
@example("f :: a -> a\nf = f\nmain = (\\f -> f f) f")
def test_V4_soup(text: str) -> None:
    compile_or_refuse(text)


@given(text=st.text(max_size=60))
def test_V4_any_text(text: str) -> None:
    compile_or_refuse(text)


@given(program=programs(PRIMS), data=st.data())
def test_V4_mutated_programs(program: object, data: st.DataObject) -> None:
    text = show(program)  # type: ignore[arg-type]
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(len(text), at + 6)))
    compile_or_refuse(text[:at] + data.draw(soups) + text[until:])


def atom(name: str) -> Call:
    return Call(PRIMS[name])


WRONG: dict[Type, tuple[Value, ...]] = {
    ACTION: (atom("is_tcp"), atom("ip_ttl"), 5, "text"),
    PREDICATE: (Chain((atom("drop"),)), Chain(), atom("ip_ttl"), 5, "text"),
    PROPERTY: (Chain((atom("drop"),)), atom("is_tcp"), 5, "text"),
    STRING: (5, atom("is_tcp"), Chain()),
}
NO_VALUE: tuple[Value, ...] = (atom("is_tcp"), atom("ip_ttl"), Chain())


def wrong_arguments(call: Call) -> list[tuple[Call, Call]]:
    """The call, and it with one argument of another type."""
    found = []
    for at, kind in enumerate(parameter_types(call.prim)):
        # the core text leaves out what cannot stand between `.&&.` and its like
        values = (atom("ip_ttl"),) if call.prim.name in LOGIC else WRONG.get(kind, NO_VALUE)
        found += [(call, Call(call.prim, (*call.args[:at], value, *call.args[at + 1 :]))) for value in values]
    return found


def replaced(value: Value, old: Call, new: Call) -> Value:
    match value:
        case Call() if value is old:
            return new
        case Call(prim, args):
            return Call(prim, tuple(replaced(arg, old, new) for arg in args))
        case Chain(calls):
            return Chain(tuple(replaced(call, old, new) for call in calls))  # type: ignore[misc]
    return value


@given(program=programs(PRIMS), data=st.data())
def test_V4_ill_typed_programs_are_refused_by_the_checker(program: Program, data: st.DataObject) -> None:
    """One argument has a wrong type: refused, before any code is made, and told as an error of the program."""
    mutants = [mutant for call in program.calls() for mutant in wrong_arguments(call)]
    assume(mutants)
    main = replaced(program.main, *data.draw(st.sampled_from(mutants)))
    assert isinstance(main, Chain)
    text = show(main)
    with pytest.raises(ProgramError):
        compile_text(text)
    with patch("pfq.cli.compile.emit_form", side_effect=AssertionError):
        done = CliRunner().invoke(commands, ["compile", "--emit", "bpf", "-o", os.devnull], input=text)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error[PFQ1" in done.stderr
    assert "Traceback" not in done.stderr


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 12), st.floats(), st.sampled_from(["ip", "port", "Fun", "Int"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["funIndex", "funSymbol", "funArgs", "funLink", "argType", "argValue"]), inner),
    ),
    max_leaves=20,
)


@given(program=programs(PRIMS), data=st.data())
def test_V4_mutated_json(program: object, data: st.DataObject) -> None:
    form = json.loads(to_json(program))  # type: ignore[arg-type]
    descriptor = data.draw(st.sampled_from(form))
    descriptor[data.draw(st.sampled_from(list(descriptor)))] = data.draw(JSON)
    try:
        read = from_json(json.dumps(form))
    except ProgramError as fault:
        str(fault)
    else:
        assert from_json(to_json(read)) == read


MISTAKES = (
    "= port 70000",
    "= steer_flwo",
    "= when tcp drop",
    "= port 80 443",
    "= addr 10.0.0.0/33",
    '= addr "10.0.0"',
    "= (ip",
    "= ip )",
    "= ip >->",
    "= ip && tcp",
    "= filter (ip_ttl < 5)",
    "= if is_tcp then drop",
    "= filter (5 .< ip_ttl)",
    "= inc 64",
    "= [ip, 80]",
    "= filter is_tcp .&&. is_udp",
    "= do",
    "x x = ip",
    "x = foo x",
    "x = x x",
    "= let y = bar in y",
    "= port z where z = 70000",
    '= "text',
    "= 12ab",
    "= ip § tcp",
    "= g where { g :: Wrod8; g = ip }",
    "0 = ip",
)


@given(chosen=st.lists(st.sampled_from(MISTAKES), min_size=1, max_size=15))
def test_one_mistake_never_hides_another(chosen: list[str]) -> None:
    """Each definition has one mistake; there are as many errors as definitions, each in its line."""
    lines = [f"d{number} {mistake}" for number, mistake in enumerate(chosen)]
    faulty: tuple[ProgramError, ...]
    try:
        compile_text("\n".join([*lines, "main = ip"]))
    except ProgramErrors as faults:
        faulty = faults.faults
    except ProgramError as fault:
        faulty = (fault,)
    assert [fault.span.line for fault in faulty if fault.span] == list(range(1, len(chosen) + 1))
