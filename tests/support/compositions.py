"""Programs that between them put every primitive that takes programs into every other one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from hypothesis import HealthCheck, Phase, given, settings

from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS, Kind, Prim
from pfq.lang.program import Call, Chain, Program, Value
from support.programs import higher, parameters, programs, typical

KINDS = {
    "(Packet -> Bool)": Kind.PREDICATE,
    "(Packet -> Word64)": Kind.PROPERTY,
    "(Packet -> Action Packet)": Kind.ACTION,
}
HIGHER = {prim.name: prim for prim in PRIMS.values() if any(map(higher, parameters(prim)))}
"""Primitives that take programs as arguments."""

ACTIONS = cycle(Chain((call,)) for call in compile_text("udp >-> steer_flow >-> mark 6 >-> inc 1").main.calls)


def examples() -> Iterator[Program]:
    """The example of each row of the table."""
    return (compile_text(prim.example, prim.name) for prim in PRIMS.values())


def pairs(outer: str) -> Iterator[Program]:
    """A primitive with each that fits in it, in all places where that fits."""
    prim = HIGHER[outer]
    kinds = {KINDS[kind] for kind in parameters(prim) if higher(kind)}
    for inner in HIGHER.values():
        if inner.kind in kinds:
            yield written(call(prim, inner), f"{outer}-{inner.name}")


def call(prim: Prim, inner: Prim | None = None) -> Call:
    """Arguments are calls of `inner` where that fits, and simple ones elsewhere."""
    return Call(prim, tuple(argument(kind, inner) for kind in parameters(prim)))


def argument(kind: str, inner: Prim | None) -> Value:
    if inner is not None and KINDS.get(kind) is inner.kind:
        return Chain((call(inner),)) if inner.kind is Kind.ACTION else call(inner)
    return next(ACTIONS) if KINDS.get(kind) is Kind.ACTION else typical(kind)


def drawn(count: int) -> Iterator[Program]:
    """Random programs, the same each time."""
    found: list[Program] = []

    @settings(max_examples=count, phases=[Phase.generate], derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(programs)
    def collect(program: Program) -> None:
        found.append(program)

    collect()
    return (written(program.main, f"drawn-{number}") for number, program in enumerate(found))


def written(part: Call | Chain, name: str) -> Program:
    """A program from its text, so that faults have a place there."""
    whole = part if isinstance(part, Chain) or part.prim.kind is Kind.ACTION else Call(PRIMS["filter"], (part,))
    return compile_text(str(whole), name)
