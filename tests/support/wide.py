"""Programs that make everything visible that headers decide: a counter for the answer to each question."""

from __future__ import annotations

from functools import cache

from pfq.lang.action import COUNTERS
from pfq.lang.prims import PRIMS, Kind
from pfq.lang.program import Call, Chain, Program
from support.programs import higher, parameters, typical


def questions() -> list[Call]:
    """Every predicate with arguments that packets meet, and whether each property is there and large."""
    found = []
    for prim in PRIMS.values():
        if any(map(higher, parameters(prim))):
            continue
        call = Call(prim, tuple(map(typical, parameters(prim))))
        if prim.kind is Kind.ACTION or (prim.check is not None and prim.check(*call.args) is not None):
            continue
        if prim.kind is Kind.PREDICATE:
            found.append(call)
        else:
            found += [Call(PRIMS["greater_eq"], (call, limit)) for limit in (0, 60)]
    return found


@cache
def wide_programs() -> tuple[Program, ...]:
    """All questions, at the outermost packet and one tunnel deeper, spread over as few programs as counters allow."""
    asked = []
    every = questions()
    for start in range(0, len(every), COUNTERS):
        batch = every[start : start + COUNTERS]
        counted = Chain(
            tuple(Call(PRIMS["when"], (q, Chain((Call(PRIMS["inc"], (n,)),)))) for n, q in enumerate(batch))
        )
        inside = Chain((Call(PRIMS["shift"], (counted,)),))
        asked += [Program(Chain((*chain.calls, Call(PRIMS["steer_flow"])))) for chain in (counted, inside)]
    return tuple(asked)
