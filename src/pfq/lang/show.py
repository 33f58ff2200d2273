"""Core text: a program written with primitives and operators only, on one line.

`compile_text` reads it back as an equal program.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.build import parameter_types
from pfq.lang.operators import COMPOSE_POWER, INFIX_OF, LOGIC, Operator
from pfq.lang.prefixset import PrefixSet
from pfq.lang.program import Call, Chain, Program, Value
from pfq.lang.types import BOOL, IPV4, List, Type

_ATOM = 100


def show(part: Program | Chain | Call) -> str:
    """The core text of a program or of a part of one."""
    return _written(part.main if isinstance(part, Program) else part, 0)


def _written(part: Call | Chain, floor: int) -> str:
    """`part` as it stands inside something that binds with the power `floor`."""
    if isinstance(part, Chain):
        if not part.calls:
            return "unit"
        if len(part.calls) == 1:
            return _written(part.calls[0], floor)
        return _bracketed(" >-> ".join(_written(call, COMPOSE_POWER) for call in part.calls), floor >= COMPOSE_POWER)
    operator = INFIX_OF.get(part.prim.name)
    if operator is not None and len(part.args) == 2:
        return _infix(part, operator, floor)
    if not part.args:
        return part.prim.name
    kinds = parameter_types(part.prim)
    words = [part.prim.name, *(_argument(value, kind) for value, kind in zip(part.args, kinds, strict=True))]
    return _bracketed(" ".join(words), floor >= _ATOM)


def _infix(call: Call, operator: Operator, floor: int) -> str:
    power = operator.power
    sign = operator.text if operator.text[0] == "." else f"`{operator.text}`"
    if call.prim.name in LOGIC:
        text = f" {sign} ".join(_written(operand, power) for operand in _operands(call, call))
    else:
        kinds = parameter_types(call.prim)
        sides = [
            _written(value, power) if isinstance(value, Call) else _argument(value, kind)
            for value, kind in zip(call.args, kinds, strict=True)
        ]
        text = f" {sign} ".join(sides)
    return _bracketed(text, power <= floor)


def _operands(value: Value, top: Call) -> Iterator[Call]:
    """What a tree of one associative operator joins, from left to right."""
    if isinstance(value, Call):
        if value.prim is top.prim:
            for argument in value.args:
                yield from _operands(argument, top)
        else:
            yield value


def _argument(value: Value, kind: Type) -> str:
    if isinstance(value, Call | Chain):
        return _written(value, _ATOM)
    text = _constant(value, kind)
    return f"({text})" if text.startswith("-") else text


def _constant(value: Value, kind: Type) -> str:
    match value:
        case tuple():
            item = kind.item if isinstance(kind, List) else kind
            return f"[{', '.join(_constant(element, item) for element in value)}]"
        case str():
            return _quoted(value)
        case PrefixSet(name) | BerkeleyFilter(name):
            return _quoted(name)
        case int() if kind == IPV4:
            return str(IPv4Address(value))
        case int() if kind == BOOL:
            return str(bool(value))
        case _:
            return str(value)


def _quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'


def _bracketed(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
