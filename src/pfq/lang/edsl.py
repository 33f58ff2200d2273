"""Programs as Python expressions: `ip >> when(is_tcp & has_port(80), drop) >> steer_flow`.

`>>` is `>->`; `& | ^ ~` join predicates; `< <= == != > >=` compare a property with a number, on
either side. Each expression is checked when it is made and holds the same tree that text compiles to;
errors show the place in the caller's file.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from operator import index
from typing import Any, Final, NoReturn

from pfq.errors import ArityError, TypeMismatchError, UsageError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.build import (
    Scalar,
    Term,
    call,
    checked,
    composed,
    counterpart,
    given,
    parameter_types,
    plural,
    slot,
    term_of,
)
from pfq.lang.callers import placed
from pfq.lang.constants import CONSTANTS
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims.table import Prim, Table
from pfq.lang.program import Call, Chain, Prefix, Program, Value
from pfq.lang.sent import Sent
from pfq.lang.types import ACTION, PREDICATE, PREFIX_SET, PROPERTY, Con, List, Type, described

_NETWORKS: Final = IPv4Address | IPv6Address | IPv4Network | IPv6Network | Prefix
_PYTHON_SIGN: Final = {"and": "&", "or": "|", "xor": "^"}


class _Operand:
    """What the operators work on: a finished expression, or a function that still wants arguments."""

    __slots__ = ("_table",)
    _table: Table

    def _as(self, want: Con, where: str) -> Term:
        """The term of an operand, which must have the type `want`."""
        raise NotImplementedError

    def __rshift__(self, other: object) -> Expression:
        return _composition(self._table, self, other)

    def __rrshift__(self, other: object) -> Expression:
        return _composition(self._table, other, self)

    def __and__(self, other: object) -> Expression:
        return _logic(self._table, "and", self, other)

    def __rand__(self, other: object) -> Expression:
        return _logic(self._table, "and", other, self)

    def __or__(self, other: object) -> Expression:
        return _logic(self._table, "or", self, other)

    def __ror__(self, other: object) -> Expression:
        return _logic(self._table, "or", other, self)

    def __xor__(self, other: object) -> Expression:
        return _logic(self._table, "xor", self, other)

    def __rxor__(self, other: object) -> Expression:
        return _logic(self._table, "xor", other, self)

    @placed
    def __invert__(self) -> Expression:
        return Expression(call(self._table["not"], [self._as(PREDICATE, "what follows `~`")]), self._table)

    def __lt__(self, other: object) -> Expression:
        return _comparison(self, "less", "<", other)

    def __le__(self, other: object) -> Expression:
        return _comparison(self, "less_eq", "<=", other)

    def __gt__(self, other: object) -> Expression:
        return _comparison(self, "greater", ">", other)

    def __ge__(self, other: object) -> Expression:
        return _comparison(self, "greater_eq", ">=", other)

    @placed
    def __bool__(self) -> NoReturn:
        raise UsageError(
            f"`{self}` is true or false only when a packet comes, so Python cannot ask now",
            hint="write `a & b`, `a | b`, `~a` instead of `a and b`, `a or b`, `not a`; "
            "`(1 < ip_ttl) & (ip_ttl < 9)` instead of `1 < ip_ttl < 9`; `when(p, f)` instead of `if p: f`",
        )


class Expression(_Operand):
    """An action, a predicate or a property. `str()` is its core text."""

    __slots__ = ("term",)

    def __init__(self, term: Term, table: Table) -> None:
        self.term = term
        self._table = table

    @placed
    def program(self) -> Program:
        """The program that this action is; raises TypeMismatchError for a predicate or property."""
        return Program(_action(self, "a program"))

    def _as(self, want: Con, where: str) -> Term:
        if self.term.type == want:
            return self.term
        hint = None
        if want == ACTION and self.term.type == PREDICATE:
            hint = f"write `keep({self})`"
        elif self.term.type == ACTION:
            hint = self._as_predicate(want)
        elif self.term.type == PROPERTY:
            hint = f"compare it with a number: `{self} < 64`"
        message = f"{where} must be {described(want)}, but `{self}` is {described(self.term.type)}"
        raise TypeMismatchError(message, None, hint)

    def _as_predicate(self, want: Con) -> str | None:
        calls = self.term.value.calls if isinstance(self.term.value, Chain) else ()
        other = counterpart(calls[0].prim.name, want, self._table) if len(calls) == 1 else None
        return f"write `{other}`" if other else None

    def __eq__(self, other: object) -> Any:
        if self.term.type == PROPERTY:
            return _comparison(self, "equal", "==", other)
        return isinstance(other, Expression) and self.term.value == other.term.value

    def __ne__(self, other: object) -> Any:
        if self.term.type == PROPERTY:
            return _comparison(self, "not_equal", "!=", other)
        return not self == other

    def __hash__(self) -> int:
        return hash(str(self))

    @placed
    def __call__(self, *arguments: object) -> NoReturn:
        hint = "write it without brackets" if not arguments else None
        raise ArityError(f"`{self}` takes no arguments", None, hint)

    def __str__(self) -> str:
        return str(self.term.value)

    def __repr__(self) -> str:
        return f"<{described(self.term.type).split()[-1]} {self}>"


class Function(_Operand):
    """A primitive that takes arguments: `port(80)`."""

    __slots__ = ("prim",)

    def __init__(self, prim: Prim, table: Table) -> None:
        self.prim = prim
        self._table = table

    @placed
    def __call__(self, *arguments: object) -> Expression:
        kinds = parameter_types(self.prim)
        if len(arguments) != len(kinds):
            raise ArityError(f"{self._wants()}, but {given(len(arguments))}")
        values = [
            _argument(value, kind, f"{slot(self.prim, at)} of `{self.prim.name}`")
            for at, (value, kind) in enumerate(zip(arguments, kinds, strict=True))
        ]
        return Expression(call(self.prim, values), self._table)

    def _wants(self) -> str:
        return f"`{self.prim.name}` needs {plural(len(parameter_types(self.prim)), 'argument')}"

    def _as(self, want: Con, where: str) -> NoReturn:
        raise ArityError(self._wants(), None, f"its type is `{self.prim.type}`")

    @placed
    def __eq__(self, other: object) -> Any:
        return self.prim is other.prim if isinstance(other, Function) else self._as(PROPERTY, "")

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.prim.name

    def __repr__(self) -> str:
        return f"<function {self.prim.name} : {self.prim.type}>"


def named(name: str, table: Table) -> Expression | Function | int:
    """The primitive or constant of a name; a trailing underscore is ignored (`not_`, `and_`, `or_`).

    Raises KeyError.
    """
    if name in CONSTANTS:
        return CONSTANTS[name][1]
    prim = table[name if name in table else name.removesuffix("_")]
    return Function(prim, table) if parameter_types(prim) else Expression(call(prim, []), table)


def to_program(source: Program | Expression | Chain | Sent | str) -> Program:
    """A program from whatever describes one: text, a Python expression, or a program itself."""
    match source:
        case Program():
            return source
        case Chain():
            return Program(source)
        case Sent():
            return source.program()
        case str():
            from pfq.lang.compile import compile_text

            return compile_text(source)
        case _:
            return Program(_action(source, "a program"))


@placed
def _action(value: object, where: str) -> Chain:
    match _argument(value, ACTION, where):
        case Term(Chain() as chain):
            return chain
    raise AssertionError


def _argument(value: object, kind: Type, where: str) -> Value | Term:
    """A Python value as an argument."""
    if isinstance(kind, List):
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise TypeMismatchError(f"{where} must be a list, but this is {value!r}")
        item = f"an item of {where}"
        found = [_argument(each, kind.item, item) for each in value]
        return tuple(each.value if isinstance(each, Term) else each for each in found)
    if kind == PREFIX_SET and not isinstance(value, str | PrefixSet | _Operand):
        return _prefix_set(value, where)
    if isinstance(value, _Operand) and isinstance(kind, Con):
        return value._as(kind, where)
    scalar = _scalar(value)
    if scalar is None:
        raise TypeMismatchError(f"{where} must be {described(kind)}, but this is {value!r}")
    return checked(scalar, kind, where)


def _prefix_set(value: object, where: str) -> PrefixSet:
    """A set of prefixes from a list of them, or from one."""
    if not isinstance(value, _NETWORKS) and not hasattr(value, "__iter__"):
        raise TypeMismatchError(f"{where} must be {described(PREFIX_SET)}, but this is {value!r}")
    items = [value] if isinstance(value, _NETWORKS) else list(value)
    for item in items:
        if not isinstance(item, str | _NETWORKS):
            raise TypeMismatchError(f"an item of {where} must be an address or prefix, but this is {item!r}")
    return PrefixSet.of(map(str, items))


def _scalar(value: object) -> Scalar | None:
    match value:
        case str() | bool() | int() | IPv4Address() | Prefix() | PrefixSet() | BerkeleyFilter():
            return value
        case IPv6Address() | IPv4Network() | IPv6Network():
            return Prefix.parse(str(value))
        case Program(main):
            return term_of(main)
        case Call() | Chain():
            return term_of(value)
    try:
        return index(value)  # type: ignore[arg-type]  # other kinds of whole numbers, as NumPy's
    except TypeError:
        return None


@placed
def _composition(table: Table, left: object, right: object) -> Expression:
    terms = [_argument(left, ACTION, "what stands before `>>`"), _argument(right, ACTION, "what follows `>>`")]
    return Expression(composed([term for term in terms if isinstance(term, Term)]), table)


@placed
def _logic(table: Table, name: str, left: object, right: object) -> Expression:
    sign = _PYTHON_SIGN[name]
    try:
        before = _argument(left, PREDICATE, f"what stands before `{sign}`")
        after = _argument(right, PREDICATE, f"what follows `{sign}`")
    except TypeMismatchError as fault:
        if isinstance(left, int) or isinstance(right, int):
            fault.hint = f"put brackets around comparisons: `(ip_ttl < 5) {sign} is_tcp`"
        raise
    return Expression(call(table[name], [before, after]), table)


@placed
def _comparison(left: _Operand, name: str, sign: str, right: object) -> Expression:
    prop = left._as(PROPERTY, f"what stands before `{sign}`")
    number = _argument(right, Con("Word64"), f"what is compared by `{sign}`")
    return Expression(call(left._table[name], [prop, number]), left._table)
