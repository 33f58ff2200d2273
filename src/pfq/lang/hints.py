"""What the checker says about a mistake in names or types, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pfq.errors import ArityError, MainError, ProgramError, TypeMismatchError
from pfq.lang.build import counterpart, given, plural
from pfq.lang.prims.table import Table
from pfq.lang.syntax import Address, Apply, Expr, Infix, Lambda, ListOf, Name, Number, Text
from pfq.lang.types import (
    ACTION,
    BERKELEY_FILTER,
    NUMBERS,
    PREDICATE,
    PREFIX_SET,
    PROPERTY,
    STRING,
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
from pfq.source import Span, did_you_mean

LONGEST_QUOTE: Final = 40
NEAR_LENGTH: Final = 3
MOST_NAMES: Final = 3_000

_WORDS: Final = {
    "accept": "unit",
    "allow": "unit",
    "pass": "unit",
    "return": "unit",
    "pure": "unit",
    "deny": "drop",
    "reject": "drop",
    "discard": "drop",
    "ipv4": "ip",
    "ipv6": "ip6",
    "sport": "src_port",
    "dport": "dst_port",
    "host": "addr",
    "net": "addr",
    "count": "inc",
}
"""What other tools call things."""

_INFIX_WORDS: Final = {"and": ".&&.", "or": ".||.", "xor": ".^^."}
_SAMPLES: Final = {
    ACTION: "drop",
    PREDICATE: "is_tcp",
    PROPERTY: "ip_ttl",
    STRING: '"text"',
    PREFIX_SET: '"10.0.0.0/8"',
    BERKELEY_FILTER: '"tcp port 80"',
}


def quoted(expr: Expr) -> str:
    """The text of an expression for a sentence, or "this" when it is long."""
    text = " ".join(expr.span.text.split())
    return f"`{text}`" if text and len(text) <= LONGEST_QUOTE else "this"


def argument_slot(expr: Apply, index: int, whole: Type) -> str:
    """A parameter as it is called in a sentence: "argument 1 of `when`"."""
    number = "the argument" if len(parameters(whole)[0]) == 1 else f"argument {index + 1}"
    return f"{number} of `{expr.function.full}`" if isinstance(expr.function, Name) else number


def mismatch(expr: Expr, found: Type, want: Type, slot: str, table: Table) -> ProgramError:
    """An expression of one type where its place wants another one."""
    kinds, final = parameters(found)
    if isinstance(want, Var) and want.allowed is None:
        return TypeMismatchError(f"the type of {quoted(expr)} would contain itself", expr.span)
    if isinstance(expr, Lambda) and isinstance(want, Con):
        hint = "packets have no name in a program: write `ip` instead of `\\p -> ip p`"
        return TypeMismatchError(f"{slot} must be {described(want)}, but this is a function", expr.span, hint)
    if kinds and _same(final, want):
        return too_few_arguments(expr, kinds)
    fault = MainError if slot == "`main`" else TypeMismatchError
    message = f"{slot} must be {described(want)}, but {quoted(expr)} is {described(found)}"
    return fault(message, expr.span, _remedy(expr, found, want, table))


def _same(found: Type, want: Type) -> bool:
    if isinstance(want, Var):
        return isinstance(found, Con) and want.allowed is not None and found.name in want.allowed
    return found == want


def _remedy(expr: Expr, found: Type, want: Type, table: Table) -> str | None:
    other = _counterpart(expr, want, table)
    if want == ACTION and found == PREDICATE:
        wrapped = f"filter {_argument(expr)}"
        return f"write `{other}`, or `{wrapped}`" if other else f"write `{wrapped}`"
    if want == PREDICATE and found == ACTION:
        return f"write `{other}`" if other else "a predicate is needed, such as `is_tcp`, `not is_udp` or `ip_ttl .< 5`"
    if isinstance(expr, Text) and want in (ACTION, PREDICATE, PROPERTY) and expr.value in table:
        return f"write {expr.value} without quotes"
    if found == PROPERTY and want in (ACTION, PREDICATE):
        compared = f"{_text(expr)} .< 64"
        return f"compare it with a number: `{compared if want == PREDICATE else f'filter ({compared})'}`"
    if want == PROPERTY:
        return "a property is needed, such as `ip_ttl`"
    return _remedy_for_value(expr, found, want)


def _remedy_for_value(expr: Expr, found: Type, want: Type) -> str | None:
    if want == PREFIX_SET:
        return _as_prefix_set(expr)
    if want == BERKELEY_FILTER:
        return 'write the filter as a text: "tcp port 80"'
    if isinstance(want, List) and not isinstance(found, List | Fun):
        return f"write a list: `[{_text(expr)}]`"
    if isinstance(found, List) and not isinstance(want, List):
        return "one value is wanted, not a list"
    if _is_number(want) and isinstance(expr, Text) and expr.value.isdecimal():
        return f"write {expr.value} without quotes"
    if _is_number(want) and found == PROPERTY:
        return "properties can be compared with constants only"
    if want == STRING and isinstance(expr, Number):
        return f'write "{expr.value}"'
    if want in (Con("CIDR"), Con("IPv4")) and _is_number(found):
        return "write an address such as 10.0.0.1" + (" or a prefix such as 10.0.0.0/8" * (want == Con("CIDR")))
    return None


def _as_prefix_set(expr: Expr) -> str:
    """Prefixes written without quotes, one or a list; or something else."""
    items = expr.items if isinstance(expr, ListOf) else (expr,)
    texts = [item.value if isinstance(item, Text) else _text(item) for item in items]
    if items and all(isinstance(item, Address | Text) for item in items):
        return f'write one text: "{_short(", ".join(texts))}"'
    return 'write a text such as "10.0.0.0/8, 192.168.0.1", or the name of a file'


def _is_number(kind: Type) -> bool:
    if isinstance(kind, Var):
        return kind.allowed is not None and kind.allowed <= NUMBERS
    return isinstance(kind, Con) and kind.name in NUMBERS


def _counterpart(expr: Expr, want: Type, table: Table) -> str | None:
    """The same with the filter of a predicate, or the predicate of a filter: `is_tcp` and `tcp`."""
    function = expr.function if isinstance(expr, Apply) else expr
    name = counterpart(function.name, want, table) if isinstance(function, Name) else None
    return f"{name}{_arguments(expr)}" if name else None


def _arguments(expr: Expr) -> str:
    return f" {_between(expr.places[0], expr.places[-1])}" if isinstance(expr, Apply) else ""


def _between(first: Span, last: Span) -> str:
    """The text from one place to another, on one line."""
    return " ".join(first.to(last).text.split())


def _text(expr: Expr) -> str:
    return _short(expr.span.text)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 2 * LONGEST_QUOTE else "…"


def _sample(kind: Type) -> str:
    kind = pruned(kind)
    if isinstance(kind, List):
        return f"[{_sample(kind.item)}]"
    if _is_number(kind):
        return "80" if kind == Con("Word16") else "1"
    return _SAMPLES.get(kind, "10.0.0.0/8") if isinstance(kind, Con) else "…"


def too_few_arguments(expr: Expr, kinds: Sequence[Type]) -> ArityError:
    """A function without all its arguments where its result is wanted; `kinds` are those it still needs."""
    count = len(expr.arguments) if isinstance(expr, Apply) else 0
    function = expr.function if isinstance(expr, Apply) else expr
    types = ", ".join(shown(kind) for kind in kinds)
    more = f", but {given(count)}" if count else f" ({types})"
    example = " ".join([_text(expr), *map(_sample, kinds)])
    return ArityError(
        f"{quoted(function)} needs {plural(count + len(kinds), 'argument')}{more}", expr.span, f"as in `{example}`"
    )


def too_many_arguments(expr: Apply, index: int, whole: Type) -> ArityError:
    """Arguments from number `index` on are more than the function takes."""
    kinds, final = parameters(whole)
    extra = expr.arguments[index]
    span = expr.places[index].to(expr.places[-1])
    if isinstance(expr.function, Number | Text):
        return ArityError(f"{quoted(expr.function)} is not a function", expr.span)
    message = f"{quoted(expr.function)} takes {plural(len(kinds), 'argument')}, but {given(len(expr.arguments))}"
    hint = _either(expr, final) if isinstance(extra, Number | Text | Address) else _join(expr, index, final)
    return ArityError(message, span, hint)


def _either(expr: Apply, final: Type) -> str | None:
    """`port 80 443`: one call for each value."""
    calls = [f"{_text(expr.function)} {_text(argument)}" for argument in expr.arguments]
    if len(calls) != 2 or final not in (ACTION, PREDICATE):
        return None
    joined = f"par ({calls[0]}) ({calls[1]})" if final == ACTION else f"{calls[0]} .||. {calls[1]}"
    return f"for either of them write `{joined}`"


def _join(expr: Apply, index: int, final: Type) -> str | None:
    """How to join what stands before argument `index` with what follows."""
    extra = expr.places[index]
    before = expr.span.source.text[expr.span.start : extra.start].strip()
    operator = ">->" if final == ACTION else ".&&." if final == PREDICATE else None
    if operator is None:
        return None
    joined = " ".join(f"{before} {operator} {extra.to(expr.places[-1]).text}".split())
    return f"to join them write `{joined}`" if len(joined) <= 2 * LONGEST_QUOTE else f"join them with `{operator}`"


def action_joined(expr: Infix, found: Sequence[Type], last: Type) -> TypeMismatchError | None:
    """Actions joined by an operator on predicates, or `filter p .&&. q` without brackets.

    found  types of the operands
    last   type of the last argument of the first operand
    """
    operator = expr.rest[0][0]
    operands = [expr.first, *(operand for _, operand in expr.rest)]
    if isinstance(expr.first, Apply) and all(kind == PREDICATE for kind in (last, *found[1:])):
        source, start = expr.span.source.text, expr.first.places[-1].start
        whole = f"{source[expr.first.span.start : start]}({source[start : expr.span.end]})"
        message = f"{quoted(expr.first)} is an action, which `{operator.name}` cannot join with a predicate"
        return TypeMismatchError(message, expr.first.span, f"put brackets around the predicate: `{_short(whole)}`")
    return _actions_joined(operator, operands) if all(kind == ACTION for kind in found) else None


def _actions_joined(operator: Name, operands: Sequence[Expr]) -> TypeMismatchError:
    texts = [_text(operand) for operand in operands]
    hint = None
    if operator.name == ".||." and len(texts) == 2:
        hint = f"to pass what either of them passes write `par {' '.join(map(_argument, operands))}`"
    if operator.name == ".&&.":
        hint = f"to do one after the other write `{' >-> '.join(texts)}`"
    return TypeMismatchError(f"`{operator.name}` joins predicates, but these are actions", operator.span, hint)


def _argument(expr: Expr) -> str:
    return _text(expr) if isinstance(expr, Name) else f"({_text(expr)})"


def infix_word(expr: Apply, index: int, *, actions: bool) -> TypeMismatchError | None:
    """`is_tcp and is_udp`: a function of two predicates written between them, or even between actions."""
    word = expr.arguments[index]
    if not isinstance(word, Name) or word.name not in _INFIX_WORDS or index + 1 == len(expr.arguments):
        return None
    if actions:
        hint = "to do one after the other write `>->`; to pass what either passes write `par … …`"
        return TypeMismatchError(f"`{word.name}` does not stand between actions", word.span, hint)
    hint = f"between predicates write `{_INFIX_WORDS[word.name]}`"
    return TypeMismatchError(f"`{word.name}` does not stand between predicates", word.span, hint)


def missing_brackets(expr: Apply, index: int, kinds: Sequence[Type]) -> ArityError:
    """A function stands as an argument, its own arguments behind it."""
    argument = expr.arguments[index]
    last = min(index + len(kinds), len(expr.places) - 1)
    hint = f"put brackets around it: `({_between(expr.places[index], expr.places[last])})`"
    its = "argument" if len(kinds) == 1 else f"{len(kinds)} arguments"
    return ArityError(f"{quoted(argument)} stands here without its {its}", argument.span, hint)


def too_many_parameters(names: Sequence[Name], kinds: Sequence[Type], slot: str) -> ArityError:
    span = names[len(kinds)].span.to(names[-1].span)
    return ArityError(f"{slot} has {plural(len(names), 'parameter')}, but its type has {len(kinds) or 'none'}", span)


def is_swapped(left: Type, right: Type, want_left: Type) -> bool:
    """A comparison has the property where the number should be, and the number where the property should be."""
    if want_left == PROPERTY:
        return _is_number(left) and right == PROPERTY
    return left == PROPERTY and _is_number(right)


def swapped_comparison(operator: Name, left: Expr, right: Expr) -> TypeMismatchError:
    sign = operator.name.strip(".")
    first, mirrored = ("number", f".{sign}") if operator.name.endswith(".") else ("property", f"{sign}.")
    return TypeMismatchError(
        f"`{operator.name}` has the {first} first",
        operator.span,
        f"write `{_text(left)} {mirrored} {_text(right)}`",
    )


def for_unknown_name(name: Name, known: Collection[str], want: Type | None) -> str | None:
    """What an unknown name may have meant."""
    if name.name in _WORDS and _WORDS[name.name] in known:
        return f"write `{_WORDS[name.name]}`"
    if name.full.lower() in known:
        return f"write `{name.full.lower()}`"
    near = [other for other in known if abs(len(other) - len(name.full)) <= NEAR_LENGTH]
    swapped = next((other for other in near if sorted(other) == sorted(name.full)), None)
    hint = f"did you mean `{swapped}`?" if swapped else did_you_mean(name.full, near[:MOST_NAMES])
    if hint is None and want is not None and _is_text(want):
        return f'text stands in double quotes: "{name.full}"'
    return hint


def _is_text(kind: Type) -> bool:
    kind = pruned(kind)
    return kind in (STRING, PREFIX_SET, BERKELEY_FILTER) or (
        isinstance(kind, Var) and kind.allowed is not None and "String" in kind.allowed
    )
