"""Compile-time evaluation: applies functions, computes constants, and leaves the calls of primitives.

It runs also when the checker found mistakes: what depends on a mistake becomes NOTHING, so that
constants that do not fit are reported together with everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, NoReturn

from pfq.errors import ProgramError, RangeError, TooBigError, TypeMismatchError
from pfq.lang import berkeley, build
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.build import Term
from pfq.lang.constants import CONSTANTS
from pfq.lang.faults import Faults
from pfq.lang.lexer import MAX_NUMBER
from pfq.lang.limits import MAX_CALLS, MAX_DEPTH, MAX_EVALUATION_DEPTH, MAX_ITEMS, MAX_STEPS
from pfq.lang.modules import Module
from pfq.lang.operators import ARITHMETIC, COMPARE_POWER, COMPOSE_POWER, OPERATORS
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims.table import Prim, Table
from pfq.lang.program import Prefix, Value
from pfq.lang.scope import Scope
from pfq.lang.syntax import (
    Address,
    Apply,
    Bindings,
    Do,
    Expr,
    If,
    Infix,
    Lambda,
    Let,
    ListOf,
    Name,
    Number,
    PrefixOf,
    Text,
    Wrong,
)
from pfq.lang.types import ACTION, BERKELEY_FILTER, PREFIX_SET, PROPERTY, RANGES, Con, List, Type
from pfq.lang.types import parameters as parameter_types
from pfq.source import Span


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant and the place where it was written."""

    value: int | str | Prefix | IPv4Address
    span: Span


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Result, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Closure:
    """A function of the program, with the names around it.

    name   of its definition
    kinds  types of the parameters, as far as a signature gives them
    """

    parameters: tuple[Name, ...]
    body: Expr
    scope: Results
    name: str = ""
    kinds: tuple[Type, ...] = ()


@dataclass(frozen=True, slots=True)
class Partial:
    """A primitive with the arguments it got so far."""

    prim: Prim
    arguments: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """An `if` between constants, properties or functions; what they are given to will be chosen instead.

    depth  choices inside one another
    """

    condition: Term
    then: Result
    other: Result
    depth: int


@dataclass(frozen=True, slots=True)
class Nothing:
    """What depends on a mistake, or on a parameter without a value."""


NOTHING: Final = Nothing()

CALLS_PER_STEP: Final = 16
"""Calls of a chain that are copied for the price of one step of evaluation."""

_CHECKED: Final = frozenset({*RANGES, "CIDR", "IPv4", "PrefixSet", "BerkeleyFilter"})
"""Types of constants that a constant may fail to fit although the checker found no mistake."""

Result = Constant | Items | Term | Closure | Partial | Choice | Nothing
Results = Scope["Result"]

_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    ".|.": lambda a, b: a | b,
    "<>": lambda a, b: a | b,
}


def evaluate_module(
    module: Module, known: dict[Module, dict[str, Result]], table: Table, faults: Faults
) -> dict[str, Result]:
    """The values of a module's definitions by name. Function bodies are tried once even when nothing calls them."""
    evaluator = _Evaluator(module, table, faults)
    imported: Results = Scope(module.imported(lambda other: known[other]))
    values = evaluator.definitions(module.file.definitions, imported).names
    for value in list(values.values()):
        if isinstance(value, Closure):
            evaluator.enter(value, [NOTHING] * len(value.parameters))
    return values


class _Evaluator:
    def __init__(self, module: Module, table: Table, faults: Faults) -> None:
        self.module = module
        self.table = table
        self.faults = faults
        self.steps = 0
        self.depth = 0
        self.sets: dict[tuple[Path, str], PrefixSet] = {}
        self.filters: dict[str, BerkeleyFilter] = {}

    def definitions(self, definitions: Bindings, scope: Results) -> Results:
        """The scope inside which these definitions have their values; those in cycles are NOTHING."""
        inner = scope.inner(dict.fromkeys((definition.name for definition in definitions.order), NOTHING))
        for definition in definitions.order:
            if definition.parameters:
                kinds = tuple(parameter_types(definition.signature.type)[0]) if definition.signature else ()
                closure = Closure(definition.parameters, definition.body, inner, definition.name, kinds)
                inner.names[definition.name] = closure
                continue
            value = self.evaluate(definition.body, inner)
            if definition.signature:
                self.declared(value, definition.signature.type, f"`{definition.name}`")
            inner.names[definition.name] = value
        return inner

    def declared(self, value: Result, kind: Type, where: str) -> None:
        """Checks a constant against the type that the user gave it."""
        if isinstance(value, Choice):
            for side in (value.then, value.other):
                self.spend(1, value.condition.value.span)
                self.declared(side, kind, where)
        if isinstance(value, Constant) and isinstance(kind, Con) and kind.name in _CHECKED:
            self.argument(value, kind, where)

    def evaluate(self, expr: Expr, scope: Results) -> Result:
        self.spend(1, expr.span)
        self.deeper(expr.span)
        try:
            return self.value(expr, scope)
        except TooBigError as fault:
            self.stop(fault.message, fault.span or expr.span, fault.hint)
        finally:
            self.depth -= 1

    def deeper(self, span: Span) -> None:
        self.depth += 1
        if self.depth > MAX_EVALUATION_DEPTH:
            self.stop(f"functions call one another more than {MAX_EVALUATION_DEPTH} deep", span)

    def spend(self, steps: int, span: Span | None) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            hint = "what is used twice, and each `if` between numbers, can double the program"
            self.stop(f"evaluating the program takes more than {MAX_STEPS} steps", span, hint)

    def stop(self, message: str, span: Span | None, hint: str | None = None) -> NoReturn:
        """Ends the compilation at a limit; a program with mistakes may have reached it because of them."""
        self.faults.check()
        self.faults.stop(message, span, hint)

    def value(self, expr: Expr, scope: Results) -> Result:
        match expr:
            case Name():
                return self.name(expr, scope)
            case Number(value) | Text(value) | Address(value):
                return Constant(value, expr.span)
            case PrefixOf():
                return self.prefix(expr, scope)
            case ListOf(items):
                parts = [self.evaluate(item, scope) for item in items]
                return self.of_either(parts, lambda chosen: Items(tuple(chosen), expr.span), expr.span)
            case Apply(function, arguments):
                called = self.evaluate(function, scope)
                return self.apply(called, [self.evaluate(argument, scope) for argument in arguments], expr.span)
            case Infix():
                return self.infix(expr, scope)
            case If(condition, then, other):
                parts = [self.evaluate(part, scope) for part in (then, other)]
                test = self.evaluate(condition, scope)
                return self.of_either([test], lambda chosen: self.choice(chosen[0], parts, expr.span), expr.span)
            case Do(steps):
                return self.composed([self.evaluate(step, scope) for step in steps], expr.span)
            case Lambda(parameters, body):
                return Closure(parameters, body, scope)
            case Let(definitions, body):
                return self.evaluate(body, self.definitions(definitions, scope))
            case Wrong():
                return NOTHING

    def name(self, name: Name, scope: Results) -> Result:
        found = scope.get(name.full)
        if found is not None:
            return found
        if name.qualifier and name.qualifier not in self.module.built_in:
            return NOTHING
        if name.name in CONSTANTS:
            kind, value = CONSTANTS[name.name]
            return Constant(bool(value) if kind.name == "Bool" else value, name.span)
        return self.primitive(name.name, [], name.span)

    def prefix(self, expr: PrefixOf, scope: Results) -> Result:
        def joined(parts: Sequence[Result]) -> Result:
            address, length = parts
            if not isinstance(address, Constant) or not isinstance(length, Constant):
                return NOTHING
            text = f"{address.value}/{length.value}"
            converted = self.argument(Constant(text, expr.span), Con("CIDR"), "`CIDR`")
            return Constant(converted, expr.span) if isinstance(converted, Prefix) else NOTHING

        return self.of_either([self.evaluate(part, scope) for part in (expr.address, expr.length)], joined, expr.span)

    def apply(self, function: Result, arguments: Sequence[Result], span: Span) -> Result:
        """Applies a function to arguments, which may be fewer or more than it has parameters."""
        while arguments:
            match function:
                case Closure(names, body, scope, name, kinds) if len(arguments) < len(names):
                    self.declared_arguments(function, arguments)
                    bound = dict(zip((parameter.name for parameter in names), arguments, strict=False))
                    given = len(arguments)
                    return Closure(names[given:], body, scope.inner(bound), name, kinds[given:])
                case Closure(names):
                    self.declared_arguments(function, arguments)
                    taken = len(names)
                    function = self.enter(function, arguments[:taken])
                    arguments = arguments[taken:]
                case Partial(prim, given):
                    whole = [*given, *arguments]
                    taken = len(build.parameter_types(prim))
                    function = self.primitive(prim.name, whole[:taken], span)
                    arguments = whole[taken:]
                case Choice():
                    return self.apply_either(function, arguments, span)
                case _:
                    return NOTHING
        return function

    def apply_either(self, functions: Choice, arguments: Sequence[Result], span: Span) -> Result:
        return self.of_either([functions], lambda chosen: self.apply(chosen[0], arguments, span), span)

    def declared_arguments(self, function: Closure, arguments: Sequence[Result]) -> None:
        """Checks constants against the types that the function's signature gives its parameters."""
        for parameter, kind, value in zip(function.parameters, function.kinds, arguments, strict=False):
            self.declared(value, kind, f"`{parameter.name}` of `{function.name}`")

    def enter(self, function: Closure, arguments: Sequence[Result]) -> Result:
        names = (parameter.name for parameter in function.parameters)
        return self.evaluate(function.body, function.scope.inner(dict(zip(names, arguments, strict=True))))

    def infix(self, expr: Infix, scope: Results) -> Result:
        operator = OPERATORS[expr.rest[0][0].name]
        if len(expr.rest) > MAX_CALLS and operator.text not in ARITHMETIC:
            self.stop(f"more than {MAX_CALLS} parts are joined by `{operator.text}`", expr.span)
        operands = [self.evaluate(expr.first, scope), *(self.evaluate(operand, scope) for _, operand in expr.rest)]
        if operator.text in ARITHMETIC:
            return self.of_either(operands, lambda chosen: self.arithmetic(expr, chosen), expr.span)
        if operator.power == COMPOSE_POWER:
            return self.composed(operands, expr.span)
        assert operator.prim is not None
        if operator.power == COMPARE_POWER:
            pair = operands[:2]
            return self.primitive(operator.prim, pair[::-1] if operator.mirrored else pair, expr.span)
        terms = [operand for operand in operands if isinstance(operand, Term)]
        if len(terms) < len(operands) or operator.prim not in self.table:
            return NOTHING
        joined = build.joined(self.table[operator.prim], terms, expr.span)
        # definitions that extend one another make the tree anew each time
        self.steps += 2 * len(joined.operands)
        return joined

    def arithmetic(self, expr: Infix, operands: Sequence[Result]) -> Result:
        total: int | None = None
        for operator, operand in zip(["+", *(name.name for name, _ in expr.rest)], operands, strict=True):
            if not isinstance(operand, Constant) or not isinstance(operand.value, int):
                return NOTHING
            total = operand.value if total is None else _ARITHMETIC[operator](total, operand.value)
            if not -MAX_NUMBER <= total <= MAX_NUMBER:
                self.faults.add(RangeError("the result does not fit into 64 bits", expr.span))
                return NOTHING
        return Constant(total or 0, expr.span)

    def composed(self, parts: Sequence[Result], span: Span) -> Result:
        terms = [part for part in parts if isinstance(part, Term)]
        if len(terms) < len(parts):
            return NOTHING
        # definitions that extend one another copy the chain each time
        self.steps += sum(term.size for term in terms) // CALLS_PER_STEP
        return build.composed(terms, span)

    def primitive(self, name: str, arguments: Sequence[Result], span: Span) -> Result:
        """A call of a primitive, or what is still to become one when arguments are missing."""
        if name not in self.table:
            return NOTHING
        prim = self.table[name]
        kinds = build.parameter_types(prim)
        if len(arguments) < len(kinds):
            return Partial(prim, tuple(arguments))
        if not kinds:
            return build.call(prim, (), span)
        return self.of_either(arguments, lambda chosen: self.call(prim, kinds, chosen, span), span)

    def call(self, prim: Prim, kinds: Sequence[Type], arguments: Sequence[Result], span: Span) -> Result:
        places = [f"{build.slot(prim, index)} of `{prim.name}`" for index in range(len(kinds))]
        values = [self.argument(*given) for given in zip(arguments, kinds, places, strict=True)]
        if any(isinstance(value, Nothing) for value in values):
            if NOTHING not in arguments and not self.faults:
                self.faults.add(
                    TypeMismatchError(f"an argument of `{prim.name}` is neither a constant nor a program", span)
                )
            return NOTHING
        try:
            return build.call(prim, [value for value in values if not isinstance(value, Nothing)], span)
        except RangeError as fault:
            self.faults.add(fault)
            return NOTHING

    def choice(self, condition: Result, sides: Sequence[Result], span: Span) -> Result:
        """An `if` with these two sides: decided now when the condition is a constant, else by each packet."""
        then, other = sides
        if isinstance(condition, Constant):
            return then if condition.value else other
        if not isinstance(condition, Term) or NOTHING in (then, other):
            return NOTHING
        if not isinstance(then, Term) or then.type == PROPERTY:
            depth = 1 + max(side.depth if isinstance(side, Choice) else 0 for side in sides)
            if depth > MAX_DEPTH:
                self.stop(f"more than {MAX_DEPTH} `if` are inside one another", span)
            return Choice(condition, then, other, depth)
        if then.type == ACTION:
            return self.primitive("conditional", [condition, then, other], span)
        pairs = [condition, then], [self.primitive("not", [condition], span), other]
        return self.primitive("or", [self.primitive("and", pair, span) for pair in pairs], span)

    def of_either(self, values: Sequence[Result], make: Callable[[Sequence[Result]], Result], span: Span) -> Result:
        """What `make` makes of values.

        make [if c then a else b]   ->   if c then make [a] else make [b]
        """
        at = next((at for at, value in enumerate(values) if isinstance(value, Choice)), None)
        if at is None:
            return make(values)
        self.spend(len(values), span)
        chosen = values[at]
        assert isinstance(chosen, Choice)
        self.deeper(span)
        both = ([*values[:at], side, *values[at + 1 :]] for side in (chosen.then, chosen.other))
        made = [self.of_either(side, make, span) for side in both]
        self.depth -= 1
        return self.choice(chosen.condition, made, span)

    def argument(self, value: Result, kind: Type, where: str) -> Value | Term | Nothing:
        """An argument as the program keeps it; NOTHING when it does not fit, which is reported."""
        match value, kind:
            case Items(items, span), List(item_kind):
                if len(items) > MAX_ITEMS:
                    self.stop(f"a list has {len(items)} items; at most {MAX_ITEMS} are accepted", span)
                values = tuple(self.argument(item, item_kind, f"an item of {where}") for item in items)
                return NOTHING if NOTHING in values else values  # type: ignore[return-value]
            case Constant(constant, span), _:
                return self.checked(constant, kind, where, span)
            case Term(), _:
                return self.checked(value, kind, where, value.value.span)
        return NOTHING

    def checked(self, value: build.Scalar, kind: Type, where: str, span: Span | None) -> Value | Term | Nothing:
        if isinstance(value, str) and kind == BERKELEY_FILTER and value not in self.filters:
            self.spend(berkeley.steps(value), span)
        try:
            if isinstance(value, str) and kind == PREFIX_SET and span is not None:
                return self.prefixes(value, span)
            if isinstance(value, str) and kind == BERKELEY_FILTER:
                return self.filter(value)
            return build.checked(value, kind, where)
        except TypeMismatchError:
            return NOTHING  # the checker reported it
        except ProgramError as fault:
            self.faults.add(build.located(fault, span))
            return NOTHING

    def prefixes(self, text: str, span: Span) -> PrefixSet:
        """A set of prefixes, read once; its file is looked for next to that of the program, which names the source."""
        key = Path(span.source.name).parent, text
        if key not in self.sets:
            self.sets[key] = PrefixSet.parse(text, key[0])
        return self.sets[key]

    def filter(self, text: str) -> BerkeleyFilter:
        """A filter, compiled once."""
        if text not in self.filters:
            self.filters[text] = BerkeleyFilter.parse(text)
        return self.filters[text]
