"""Types: reading, writing, describing and unifying them."""

from __future__ import annotations

import pytest

from pfq.errors import ParseError, ProgramError, TooBigError, UnknownNameError
from pfq.lang.limits import MAX_TYPE_DEPTH
from pfq.lang.prims import PRIMS
from pfq.lang.typeparser import type_of
from pfq.lang.types import (
    ACTION,
    ERROR,
    NUMBERS,
    PREDICATE,
    PROPERTY,
    TEXTS,
    Con,
    Fun,
    List,
    Type,
    Var,
    described,
    parameters,
    pruned,
    shown,
)
from pfq.lang.unify import GENERIC, Unifier, generic

WORD16 = Con("Word16")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Packet -> Action Packet", ACTION),
        ("Qbuff -> Action Qbuff", ACTION),
        ("Function (Qbuff -> Action Qbuff)", ACTION),
        ("NetFunction", ACTION),
        ("Packet -> Bool", PREDICATE),
        ("Packet -> Word64", PROPERTY),
        ("Word16 -> Packet -> Bool", Fun(WORD16, PREDICATE)),
        ("Word16 -> (Packet -> Bool)", Fun(WORD16, PREDICATE)),
        ("(Packet -> Bool) -> Packet -> Bool", Fun(PREDICATE, PREDICATE)),
        ("[CIDR] -> String -> IPv4", Fun(List(Con("CIDR")), Fun(Con("String"), Con("IPv4")))),
        ("(Word8 -> Word16) -> Bool", Fun(Fun(Con("Word8"), WORD16), Con("Bool"))),
        ("a -> [b]", Fun(Con("a"), List(Con("b")))),
        ("Int", Con("CInt")),
        ("CInt -> CUInt -> CUnt -> CULong", type_of("Int -> Word32 -> Word32 -> Word64")),
        ("P.Int", Con("CInt")),
    ],
)
def test_reading(text: str, kind: Type) -> None:
    assert type_of(text) == kind


@pytest.mark.parametrize(
    "text",
    ["Word16 -> Packet -> Action Packet", "(Packet -> Bool) -> [[CIDR]] -> (a -> b) -> Packet -> Word64", "String"],
)
def test_writing_is_the_inverse_of_reading(text: str) -> None:
    assert shown(type_of(text)) == text


@pytest.mark.parametrize("prim", PRIMS.values(), ids=lambda prim: prim.name)
def test_types_of_the_table(prim: object) -> None:
    text = prim.type  # type: ignore[attr-defined]
    assert shown(type_of(text)) == text
    assert parameters(type_of(text))[1] in (ACTION, PREDICATE, PROPERTY)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ParseError),
        ("Word16 ->", ParseError),
        ("Word16 Word16", ParseError),
        ("(Word16", ParseError),
        ("[Word16", ParseError),
        ("Packet", ParseError),
        ("Action Word16", ParseError),
        ("Packet -> Word16", ParseError),
        ("-> Word16", ParseError),
        ("Word17", UnknownNameError),
        ("(" * 300 + "Bool" + ")" * 300, ProgramError),
    ],
)
def test_malformed(text: str, error: type[ProgramError]) -> None:
    with pytest.raises(error):
        type_of(text)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ACTION, "an action"),
        (PREDICATE, "a predicate"),
        (PROPERTY, "a property"),
        (WORD16, "a number (Word16)"),
        (Con("String"), "a text"),
        (List(WORD16), "a list ([Word16])"),
        (Fun(WORD16, ACTION), "a function (Word16 -> Packet -> Action Packet)"),
        (Fun(ACTION, ACTION), "a function ((Packet -> Action Packet) -> Packet -> Action Packet)"),
        (Var(0, NUMBERS), "a number"),
        (Var(0, TEXTS), "a text"),
        (Fun(Var(0), Var(0)), "a function (a -> b)"),
        (Con("a"), "of type `a`"),
    ],
)
def test_in_words(kind: Type, words: str) -> None:
    assert described(kind) == words


def test_unify_finds_variables_out() -> None:
    a, b = Var(1), Var(1)
    assert Unifier().unify(Fun(a, List(b)), Fun(WORD16, List(a)))
    assert (pruned(a), pruned(b)) == (WORD16, WORD16)


def test_unify_refuses() -> None:
    a = Var(1)
    unifier = Unifier()
    assert not unifier.unify(WORD16, Con("String"))
    assert not unifier.unify(List(WORD16), WORD16)
    assert not unifier.unify(a, Fun(a, WORD16))
    assert not unifier.unify(Var(1, NUMBERS), Con("String"))
    assert not unifier.unify(Var(1, NUMBERS), List(WORD16))
    assert not unifier.unify(Var(1, NUMBERS), Var(1, TEXTS))


def test_error_unifies_with_everything() -> None:
    assert Unifier().unify(ERROR, Fun(WORD16, ACTION))
    assert Unifier().unify(List(ERROR), List(ACTION))


def test_constrained_variables_meet() -> None:
    text, address = Var(1, TEXTS), Var(1, frozenset({"CIDR", "IPv4"}))
    unifier = Unifier()
    assert unifier.unify(text, address)
    assert not unifier.unify(text, Con("String"))
    assert unifier.unify(text, Con("CIDR"))


def test_generalised_types_are_new_at_each_use() -> None:
    unifier = Unifier()
    kind = Fun(Var(1), Var(1, NUMBERS))
    unifier.generalise(kind, 0)
    first, second = unifier.fresh(kind, 1), unifier.fresh(kind, 1)
    assert unifier.unify(first, Fun(ACTION, WORD16))
    assert unifier.unify(second, Fun(PREDICATE, Con("Word8")))


def test_variables_from_outside_are_not_generalised() -> None:
    unifier, outer = Unifier(), Var(1)
    inner = Var(2)
    unifier.unify(inner, outer)
    unifier.generalise(inner, 1)
    assert pruned(unifier.fresh(inner, 1)) is pruned(outer)


def test_written_type_variables_stand_for_any_type() -> None:
    kind = generic(type_of("a -> a"))
    assert isinstance(kind, Fun)
    assert kind.parameter is kind.result
    assert isinstance(kind.parameter, Var)
    assert kind.parameter.level == GENERIC


def test_depth_is_limited() -> None:
    a: Type = WORD16
    b: Type = WORD16
    for _ in range(MAX_TYPE_DEPTH + 1):
        a, b = List(a), List(b)
    with pytest.raises(TooBigError):
        Unifier().unify(a, b)
