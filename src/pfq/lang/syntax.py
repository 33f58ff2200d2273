"""The tree that the parser makes: what was written, with places, before names and types mean anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from pfq.lang.program import Prefix
from pfq.lang.types import Type
from pfq.source import Span


@dataclass(frozen=True, slots=True)
class Name:
    """A use of a name; `qualifier` is the part before the last dot, or empty."""

    name: str
    span: Span
    qualifier: str = ""

    @property
    def full(self) -> str:
        return f"{self.qualifier}.{self.name}" if self.qualifier else self.name


@dataclass(frozen=True, slots=True)
class Number:
    value: int
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Address:
    """A bare address or prefix. IPv6 addresses are prefixes of length 128."""

    value: IPv4Address | Prefix
    span: Span


@dataclass(frozen=True, slots=True)
class PrefixOf:
    """`CIDR ("10.0.0.0", 8)`"""

    address: Expr
    length: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Apply:
    """`function argument argument …`; `places` are those of the arguments with the brackets around them."""

    function: Expr
    arguments: tuple[Expr, ...]
    span: Span
    places: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Infix:
    """`first op operand op operand …`, operators of one precedence, from left to right."""

    first: Expr
    rest: tuple[tuple[Name, Expr], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: Expr
    other: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Do:
    """A block of actions; a `let` among them is a Let around the rest."""

    steps: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Lambda:
    parameters: tuple[Name, ...]
    body: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    definitions: Bindings
    body: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Wrong:
    """A part that was reported already; it has every type. `inside` was still understood."""

    span: Span
    inside: Expr | None = None


Expr = Name | Number | Text | Address | PrefixOf | ListOf | Apply | Infix | If | Do | Lambda | Let | Wrong


@dataclass(frozen=True, slots=True)
class Signature:
    """`name :: type`; `span` is the type."""

    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Definition:
    """`name parameters = body`; `span` is the name."""

    name: str
    parameters: tuple[Name, ...]
    body: Expr
    span: Span
    signature: Signature | None = None


Cycle = tuple[tuple[Definition, Name], ...]
"""Definitions that need one another in a ring, each with the place where it uses the next one."""


@dataclass(frozen=True, slots=True)
class Bindings:
    """The definitions of one scope, each after those that it uses."""

    order: tuple[Definition, ...]
    cycles: tuple[Cycle, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """`import [qualified] module [as alias] [[hiding] (names)]`"""

    module: str
    span: Span
    alias: str | None = None
    qualified: bool = False
    only: frozenset[str] | None = None
    hiding: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class File:
    """One source file. `exports` is None when everything is visible to importers."""

    imports: tuple[Import, ...]
    definitions: Bindings
    exports: frozenset[str] | None = None


def free_names(body: Expr, parameters: tuple[Name, ...] = ()) -> Iterator[Name]:
    """Uses of names in the body of a definition that it does not bind itself."""
    waiting: list[tuple[Expr, tuple[frozenset[str], ...]]] = [(body, (_bound(parameters),))]
    while waiting:
        expr, scopes = waiting.pop()
        match expr:
            case Name():
                if not any(expr.full in scope for scope in scopes):
                    yield expr
            case Lambda(parameters, body):
                waiting.append((body, (*scopes, _bound(parameters))))
            case Let(definitions, body):
                inner = (*scopes, frozenset(local.name for local in definitions.order))
                waiting.append((body, inner))
                waiting += [(local.body, (*inner, _bound(local.parameters))) for local in definitions.order]
            case _:
                waiting += [(part, scopes) for part in reversed(parts(expr))]


def _bound(parameters: tuple[Name, ...]) -> frozenset[str]:
    return frozenset(parameter.name for parameter in parameters)


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside another one; nothing for those that bind names."""
    match expr:
        case PrefixOf(address, length):
            return address, length
        case ListOf(items):
            return items
        case Apply(function, arguments):
            return (function, *arguments)
        case Infix(first, rest):
            return first, *(operand for _, operand in rest)
        case If(condition, then, other):
            return condition, then, other
        case Do(steps):
            return steps
        case Wrong(_, inside) if inside is not None:
            return (inside,)
        case _:
            return ()
