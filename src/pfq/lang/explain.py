"""Says in plain language what a program does, from the sentences in the table."""

from __future__ import annotations

from collections.abc import Iterator

from pfq.lang.operators import LOGIC
from pfq.lang.program import Call, Chain, Program, Value
from pfq.lang.show import show


def describe(program: Program) -> list[str]:
    """One line for each call, in the order in which they are met; what is inside a call is indented.

    Connectives of predicates have no line of their own: the call around them shows them.
    """
    lines = list(_lines(program.main, 0))
    return lines or ["unit: Passes every packet unchanged."]


def _lines(value: Value, depth: int) -> Iterator[str]:
    match value:
        case Chain(calls):
            for call in calls:
                yield from _lines(call, depth)
        case Call(prim, arguments):
            connective = prim.name in LOGIC or prim.name == "not"
            if not connective:
                yield f"{'  ' * depth}{show(value)}: {prim.doc}"
            for argument in arguments:
                yield from _lines(argument, depth if connective else depth + 1)
