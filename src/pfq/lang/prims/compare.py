"""Comparisons of a property with a constant. All are false when the property is absent."""

from __future__ import annotations

import operator
from collections.abc import Callable

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.table import Prim
from pfq.lang.program import Call


def row(
    name: str,
    sign: str,
    doc: str,
    holds: Callable[[int, int], bool],
    lower_holds: Callable[[Emitter, Code, Code], Code],
) -> Prim:
    def run(m: Machine, prop: Call, operand: int) -> bool:
        value = m.value(prop)
        return value is not None and holds(value, operand)

    def lower(e: Emitter, prop: Call, operand: int) -> Code:
        present, value = e.value(prop)
        return e.both(present, lower_holds(e, value, e.number(operand)))

    return Prim(
        name=name,
        type="(Packet -> Word64) -> Word64 -> Packet -> Bool",
        doc=f"True when the property {doc}; false when the packet does not have it.",
        run=run,
        lower=lower,
        example=f"filter (ip_ttl {sign} 64)",
        family="comparison",
    )


def comparison(name: str, sign: str, doc: str, holds: Callable[[int, int], bool]) -> Prim:
    return row(name, f".{sign}" if sign != "!=" else "./=", doc, holds, lambda e, a, b: e.compare(sign, a, b))


ROWS: tuple[Prim, ...] = (
    comparison("less", "<", "is less than the number", operator.lt),
    comparison("less_eq", "<=", "is at most the number", operator.le),
    comparison("equal", "==", "equals the number", operator.eq),
    comparison("not_equal", "!=", "differs from the number", operator.ne),
    comparison("greater", ">", "is greater than the number", operator.gt),
    comparison("greater_eq", ">=", "is at least the number", operator.ge),
    row(
        "any_bit",
        "`any_bit`",
        "has at least one bit of the mask set",
        lambda value, mask: value & mask != 0,
        lambda e, value, mask: e.compare("!=", e.bits(value, mask), e.number(0)),
    ),
    row(
        "all_bit",
        "`all_bit`",
        "has all bits of the mask set",
        lambda value, mask: value & mask == mask,
        lambda e, value, mask: e.compare("==", e.bits(value, mask), mask),
    ),
)
