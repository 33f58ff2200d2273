"""Calls of primitives from checked arguments."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from pfq.errors import LiteralError, ProgramError, RangeError, TypeMismatchError
from pfq.lang.build import Scalar, Term, call, checked, joined, parameter_types, term_of
from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Table
from pfq.lang.program import Call, Chain, Prefix, Value
from pfq.lang.typeparser import type_of


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        (0, "Word8", 0),
        (255, "Word8", 255),
        (-128, "Int8", -128),
        (2**31 - 1, "CInt", 2**31 - 1),
        (2**64 - 1, "Word64", 2**64 - 1),
        (True, "Bool", 1),
        ("x", "String", "x"),
        ("10.0.0.0/8", "CIDR", Prefix.parse("10.0.0.0/8")),
        (IPv4Address("10.0.0.1"), "CIDR", Prefix.parse("10.0.0.1/32")),
        ("10.0.0.1", "IPv4", 0x0A000001),
        (IPv4Address("10.0.0.1"), "IPv4", 0x0A000001),
        (5, "a", 5),
        ("x", "a", "x"),
    ],
)
def test_arguments(value: Scalar, kind: str, kept: Value) -> None:
    assert checked(value, type_of(kind), "it") == kept


@pytest.mark.parametrize(
    ("value", "kind", "error", "message"),
    [
        (256, "Word8", RangeError, "256 is out of range: it must be 0 to 255 (Word8)"),
        (-129, "Int8", RangeError, "-129 is out of range: it must be -128 to 127 (Int8)"),
        (True, "Word8", TypeMismatchError, "it must be a number (Word8), but True is a truth"),
        (1, "Bool", TypeMismatchError, "it must be True or False, but 1 is a number"),
        (1, "String", TypeMismatchError, "it must be a text, but 1 is a number"),
        ("x", "CIDR", LiteralError, '"x" is not an address'),
        ("", "CIDR", LiteralError, '"" is not an address'),
        ("10.0.0.0/8", "IPv4", LiteralError, "`10.0.0.0/8` is a prefix; an address is needed"),
        ("::1", "IPv4", LiteralError, "IPv4"),
        (Prefix.parse("10.0.0.0/8"), "IPv4", TypeMismatchError, "10.0.0.0/8 is an address"),
    ],
)
def test_refused(value: Scalar, kind: str, error: type[ProgramError], message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        checked(value, type_of(kind), "it")
    assert type(caught.value) is error
    assert message in caught.value.message


def test_size_and_depth() -> None:
    program = compile_text("ip >-> when (is_tcp .&&. ip_ttl .< 5) (drop >-> kernel)")
    term = term_of(program.main)
    assert (term.size, term.depth) == (8, 4)
    assert sum(1 for _ in program.calls()) == 8


def test_unit_is_the_empty_chain() -> None:
    assert call(PRIMS["unit"], []).value == Chain()


def test_connectives_are_balanced_in_order() -> None:
    terms = [call(PRIMS["has_port"], [number]) for number in range(5)]
    made = joined(PRIMS["or"], terms)
    either, leaves = PRIMS["or"], [term.value for term in terms]
    left = Call(either, (Call(either, (leaves[0], leaves[1])), leaves[2]))
    assert made.value == Call(either, (left, Call(either, (leaves[3], leaves[4]))))
    assert joined(PRIMS["or"], [terms[0], joined(PRIMS["or"], terms[1:])]).value == made.value
    assert (made.size, made.depth) == (9, 4)


def test_parameter_types(table: Table) -> None:
    assert [len(parameter_types(table[name])) for name in ("ip", "port", "nets", "conditional")] == [0, 1, 2, 3]


def test_hand_made_chains_are_measured() -> None:
    part = Chain((Call(PRIMS["ip"]), Call(PRIMS["filter"], (Call(PRIMS["is_tcp"]),))))
    assert term_of(part) == Term(part, 3, 2)
