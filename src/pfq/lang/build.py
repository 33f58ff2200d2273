"""Builds calls of primitives: the one place where arguments are checked against the table.

Text, Python expressions and the JSON form all end here, so that they accept the same values and
make the same program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address

from pfq.errors import LiteralError, ProgramError, RangeError, TooBigError, TypeMismatchError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.limits import MAX_CALLS, MAX_DEPTH, MAX_SHIFT
from pfq.lang.literals import address_fault
from pfq.lang.operators import LOGIC
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims.table import Kind, Prim, Table
from pfq.lang.program import Call, Chain, Prefix, Value
from pfq.lang.typeparser import type_of
from pfq.lang.types import (
    ACTION,
    PREDICATE,
    PROPERTY,
    RANGES,
    Con,
    Type,
    described,
    parameters,
)
from pfq.source import Span


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a program: an action (Chain), or a predicate or property (Call).

    size      calls in it
    depth     calls inside one another
    shifts    calls of `shift` inside one another
    operands  of `and`, `or` and `xor`: what they join
    """

    value: Call | Chain
    size: int
    depth: int
    shifts: int = 0
    operands: tuple[Term, ...] = ()

    @property
    def type(self) -> Con:
        if isinstance(self.value, Chain):
            return ACTION
        return TYPE_OF_KIND[self.value.prim.kind]


TYPE_OF_KIND = {Kind.ACTION: ACTION, Kind.PREDICATE: PREDICATE, Kind.PROPERTY: PROPERTY}

Scalar = int | str | IPv4Address | Prefix | PrefixSet | BerkeleyFilter | Term
"""An argument before it is checked; lists are checked item by item."""


@cache
def signature(text: str) -> tuple[tuple[Type, ...], Type]:
    """Types of the parameters and of the result that a row of the table declares."""
    found, result = parameters(type_of(text))
    return tuple(found), result


def parameter_types(prim: Prim) -> tuple[Type, ...]:
    return signature(prim.type)[0]


def counterpart(name: str, want: Type, table: Table) -> str | None:
    """The filter of a predicate, or the predicate of a filter, that takes the same arguments."""
    if name not in table or want not in (ACTION, PREDICATE):
        return None
    bare = name.removeprefix("is_").removeprefix("has_")
    takes, _ = signature(table[name].type)
    for other in (bare, f"is_{bare}", f"has_{bare}"):
        if other in table and signature(table[other].type) == (takes, want):
            return other
    return None


def plural(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def given(count: int) -> str:
    """ "1 is given", "none is given", "2 are given" """
    return f"{count or 'none'} {'are' if count > 1 else 'is'} given"


def slot(prim: Prim, index: int) -> str:
    """A parameter as it is called in a sentence."""
    return "the argument" if len(parameter_types(prim)) == 1 else f"argument {index + 1}"


def checked(value: Scalar, kind: Type, where: str) -> Value | Term:
    """The argument as the program keeps it.

    where  what wants it, for the message: "argument 1 of `port`"
    Raises TypeMismatchError, RangeError or LiteralError, without a place.
    """
    match value, kind:
        case int(), Con(name) if name in RANGES and not isinstance(value, bool):
            return _in_range(value, name, where)
        case bool(), Con("Bool"):
            return int(value)
        case str(), Con("String"):
            return value
        case str() | Prefix() | IPv4Address(), Con("CIDR"):
            return _prefix(value)
        case str() | IPv4Address(), Con("IPv4"):
            return _address(value)
        case str() | PrefixSet(), Con("PrefixSet"):
            return PrefixSet.parse(value) if isinstance(value, str) else value
        case str() | BerkeleyFilter(), Con("BerkeleyFilter"):
            return BerkeleyFilter.parse(value) if isinstance(value, str) else value
        case Term(), Con() if value.type == kind:
            return value
        case _, Con(name) if name[0].islower() and not isinstance(value, IPv4Address | PrefixSet | BerkeleyFilter):
            return value
    raise TypeMismatchError(f"{where} must be {described(kind)}, but {_called(value)}")


def _called(value: Scalar) -> str:
    match value:
        case Term():
            text = str(value.value)
            return f"{f'`{text}`' if len(text) <= 60 else 'this'} is {described(value.type)}"
        case bool():
            return f"{value} is a truth"
        case int():
            return f"{value} is a number"
        case str():
            return f'"{value}" is a text'
        case PrefixSet():
            return "this is a set of prefixes"
        case BerkeleyFilter():
            return "this is a filter expression"
        case _:
            return f"{value} is an address"


def _in_range(value: int, name: str, where: str) -> int:
    low, high = RANGES[name]
    if low <= value <= high:
        return value
    raise RangeError(f"{value} is out of range: {where} must be {low} to {high} ({name})")


def _prefix(value: str | Prefix | IPv4Address) -> Prefix:
    if isinstance(value, Prefix):
        return value
    try:
        return Prefix.parse(str(value))
    except ValueError:
        raise _no_address(str(value)) from None


def _address(value: str | IPv4Address) -> int:
    try:
        return int(IPv4Address(value))
    except ValueError:
        pass
    if isinstance(value, str) and "/" in value:
        raise LiteralError(f"`{value}` is a prefix; an address is needed", hint=f"write {value.partition('/')[0]}")
    if isinstance(value, str) and ":" in value:
        raise LiteralError(f"`{value[:40]}` is no IPv4 address", hint="write four numbers, as in 10.0.0.1")
    raise _no_address(str(value))


def _no_address(text: str) -> LiteralError:
    message, hint = address_fault(text)
    return LiteralError(message, hint=hint)


def call(prim: Prim, arguments: Sequence[Value | Term], span: Span | None = None) -> Term:
    """A call of a primitive with checked arguments; an action becomes a chain of one.

    Raises RangeError when the primitive refuses these values, TooBigError at the limits.
    """
    if prim.name in LOGIC:
        return joined(prim, [argument for argument in arguments if isinstance(argument, Term)], span)
    terms = [argument for argument in arguments if isinstance(argument, Term)]
    values = tuple(argument.value if isinstance(argument, Term) else argument for argument in arguments)
    if prim.check is not None and (reason := prim.check(*values)) is not None:
        raise RangeError(reason, span)
    made = Call(prim, values, span)
    if prim.kind is not Kind.ACTION:
        return measured(made, *extent(prim, terms))
    if prim.name == "unit":
        return Term(Chain((), span), 0, 0)
    return measured(Chain((made,), span), *extent(prim, terms))


def term_of(part: Call | Chain, depth: int = 0) -> Term:
    """A finished part of a program, measured."""
    if depth > MAX_DEPTH:
        raise TooBigError(f"the program nests calls more than {MAX_DEPTH} deep", part.span)
    if isinstance(part, Chain):
        return composed([term_of(each, depth) for each in part.calls], part.span)
    inner = [term_of(value, depth + 1) for value in part.args if isinstance(value, Call | Chain)]
    return measured(part, *extent(part.prim, inner))


def composed(terms: Sequence[Term], span: Span | None = None) -> Term:
    """`f >-> g >-> …` as one flat chain."""
    parts = (term.value.calls if isinstance(term.value, Chain) else (term.value,) for term in terms)
    calls = tuple(call for part in parts for call in part)
    size, depth = sum(term.size for term in terms), max((term.depth for term in terms), default=0)
    return measured(Chain(calls, span), size, depth, max((term.shifts for term in terms), default=0))


def joined(prim: Prim, terms: Sequence[Term], span: Span | None = None) -> Term:
    """`p .||. q .||. …` as a balanced tree, so that a long list of alternatives is not a deep program.

    These operators are associative, also in the order in which they evaluate, so all ways to set
    brackets give this tree.
    """
    operands: list[Term] = []
    for term in terms:
        same = isinstance(term.value, Call) and term.value.prim is prim
        operands += term.operands if same else (term,)

    def tree(first: int, last: int) -> Term:
        if last - first == 1:
            return operands[first]
        middle = (first + last + 1) // 2
        left, right = tree(first, middle), tree(middle, last)
        made = Call(prim, (left.value, right.value), span)
        return Term(made, *extent(prim, (left, right)))

    top = tree(0, len(operands))
    return measured(top.value, top.size, top.depth, top.shifts, tuple(operands))


def extent(prim: Prim, terms: Sequence[Term]) -> tuple[int, int, int]:
    """Size, depth and shifts of a call with these arguments."""
    size, depth = 1 + sum(term.size for term in terms), 1 + max((term.depth for term in terms), default=0)
    return size, depth, max((term.shifts for term in terms), default=0) + (prim.name == "shift")


def measured(value: Call | Chain, size: int, depth: int, shifts: int, operands: tuple[Term, ...] = ()) -> Term:
    """A term within the limits; raises TooBigError past them."""
    if size > MAX_CALLS:
        raise TooBigError(f"the program has more than {MAX_CALLS} calls of primitives", value.span)
    if depth > MAX_DEPTH:
        raise TooBigError(f"the program nests calls more than {MAX_DEPTH} deep", value.span)
    if shifts > MAX_SHIFT:
        raise TooBigError(f"the program nests `shift` more than {MAX_SHIFT} deep", value.span)
    return Term(value, size, depth, shifts, operands)


def located(fault: ProgramError, span: Span | None) -> ProgramError:
    """The fault with a place, when it has none yet."""
    fault.span = fault.span or span
    return fault
