"""Control: filters by predicate, branches, alternatives, where to look, and the logic of predicates."""

from __future__ import annotations

from pfq.lang.action import Fanout
from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.table import Prim
from pfq.lang.program import Call, Chain

PREDICATE = "(Packet -> Bool)"
ACTION = "(Packet -> Action Packet)"


def conditional(m: Machine, predicate: Call, then: Chain, other: Chain) -> bool:
    return m.run(then if m.test(predicate) else other)


def lower_conditional(e: Emitter, predicate: Call, then: Chain, other: Chain) -> None:
    e.branch(e.test(predicate), lambda: e.run(then), lambda: e.run(other))


def inv(m: Machine, body: Chain) -> bool:
    if m.run(body):
        return False
    m.action.fanout = Fanout.COPY
    return True


def lower_inv(e: Emitter, body: Chain) -> None:
    e.branch(e.attempt(lambda: e.run(body)), e.drop, lambda: e.fanout(Fanout.COPY))


def par(m: Machine, *alternatives: Chain) -> bool:
    action = m.action
    before = action.fanout, action.classes, action.hash, action.hash2
    for body in alternatives:
        action.fanout, action.classes, action.hash, action.hash2 = before
        if m.run(body):
            return True
    return False


def lower_par(e: Emitter, *alternatives: Chain) -> None:
    restore = e.saved_fanout()

    def try_each(first: Chain, *others: Chain) -> None:
        def retry() -> None:
            restore()
            try_each(*others)

        if others:
            e.branch(e.attempt(lambda: e.run(first)), lambda: None, retry)
        else:
            e.run(first)

    try_each(*alternatives)


def shift(m: Machine, body: Chain) -> bool:
    m.level += 1
    passed = m.run(body)
    m.level -= 1
    return passed


def facing(m: Machine, body: Chain, side: Side) -> bool:
    before, m.sides = m.sides, (side,)
    passed = m.run(body)
    m.sides = before
    return passed


def lower_and(e: Emitter, p: Call, q: Call) -> Code:
    return e.lazily(e.test(p), lambda: e.test(q), lambda: e.truth(False))


def lower_or(e: Emitter, p: Call, q: Call) -> Code:
    return e.lazily(e.test(p), lambda: e.truth(True), lambda: e.test(q))


def alternatives(count: int) -> Prim:
    """The row of `par` for so many actions."""
    name = "par" if count == 2 else f"par{count}"
    ports = " ".join(f"(port {port})" for port in (53, 80, 443, 22, 25, 110, 143, 993)[:count])
    return Prim(
        name=name,
        type=f"{ACTION} -> " * count + "Packet -> Action Packet",
        doc=f"Does the first of {count} actions that does not drop, each tried with the fan-out as it was before.",
        run=par,
        lower=lower_par,
        example=f"{name} {ports}",
        family="control",
    )


def looking_at(side: Side, noun: str) -> Prim:
    """The row of `src` or `dst`."""
    return Prim(
        name=side,
        type=f"{ACTION} -> Packet -> Action Packet",
        doc=f"Does the action, in which predicates and filters on either end look at the {noun} only.",
        run=lambda m, body: facing(m, body, side),
        lower=lambda e, body: e.facing((side,), lambda: e.run(body)),
        example=f"{side} (port 53 >-> addr 10.0.0.0/8)",
        family="control",
    )


ROWS: tuple[Prim, ...] = (
    Prim(
        name="unit",
        type="Packet -> Action Packet",
        doc="Passes every packet unchanged.",
        run=lambda m: True,
        lower=lambda e: None,
        example="unit",
        family="control",
    ),
    Prim(
        name="filter",
        type=f"{PREDICATE} -> Packet -> Action Packet",
        doc="Passes the packet when the predicate holds, drops it otherwise.",
        run=lambda m, p: m.test(p),
        lower=lambda e, p: e.branch(e.test(p), lambda: None, e.drop),
        example="filter (is_tcp .&&. has_port 443)",
        family="control",
        aliases=("keep",),
    ),
    Prim(
        name="when",
        type=f"{PREDICATE} -> {ACTION} -> Packet -> Action Packet",
        doc="Does the action when the predicate holds, and nothing otherwise.",
        run=lambda m, p, f: conditional(m, p, f, Chain()),
        lower=lambda e, p, f: lower_conditional(e, p, f, Chain()),
        example="when is_tcp steer_flow",
        family="control",
    ),
    Prim(
        name="unless",
        type=f"{PREDICATE} -> {ACTION} -> Packet -> Action Packet",
        doc="Does the action when the predicate does not hold, and nothing otherwise.",
        run=lambda m, p, f: conditional(m, p, Chain(), f),
        lower=lambda e, p, f: lower_conditional(e, p, Chain(), f),
        example="unless is_ip drop",
        family="control",
    ),
    Prim(
        name="conditional",
        type=f"{PREDICATE} -> {ACTION} -> {ACTION} -> Packet -> Action Packet",
        doc="Does the first action when the predicate holds, the second otherwise.",
        run=conditional,
        lower=lower_conditional,
        example="if is_tcp then steer_flow else steer_p2p",
        family="control",
    ),
    Prim(
        name="inv",
        type=f"{ACTION} -> Packet -> Action Packet",
        doc="Passes, to all end-points, the packets that the action drops, and drops those it passes.",
        run=inv,
        lower=lower_inv,
        example="inv (port 22)",
        family="control",
    ),
    *(alternatives(count) for count in range(2, 9)),
    Prim(
        name="shift",
        type=f"{ACTION} -> Packet -> Action Packet",
        doc="Does the action on the packet inside the tunnel: all that reads layers 3 and 4 looks one level deeper.",
        run=shift,
        lower=lambda e, body: e.deeper(lambda: e.run(body)),
        example="shift (tcp >-> steer_flow)",
        family="control",
    ),
    looking_at("src", "source"),
    looking_at("dst", "destination"),
    Prim(
        name="and",
        type=f"{PREDICATE} -> {PREDICATE} -> Packet -> Bool",
        doc="True when both predicates hold; the second is tested only when the first holds.",
        run=lambda m, p, q: m.test(p) and m.test(q),
        lower=lower_and,
        example="filter (is_tcp .&&. has_port 443)",
        family="combinator",
    ),
    Prim(
        name="or",
        type=f"{PREDICATE} -> {PREDICATE} -> Packet -> Bool",
        doc="True when a predicate holds; the second is tested only when the first does not hold.",
        run=lambda m, p, q: m.test(p) or m.test(q),
        lower=lower_or,
        example="filter (is_tcp .||. is_udp)",
        family="combinator",
    ),
    Prim(
        name="xor",
        type=f"{PREDICATE} -> {PREDICATE} -> Packet -> Bool",
        doc="True when exactly one of the predicates holds.",
        run=lambda m, p, q: m.test(p) != m.test(q),
        lower=lambda e, p, q: e.differ(e.test(p), e.test(q)),
        example="filter (has_src_port 53 .^^. has_dst_port 53)",
        family="combinator",
    ),
    Prim(
        name="not",
        type=f"{PREDICATE} -> Packet -> Bool",
        doc="True when the predicate does not hold.",
        run=lambda m, p: not m.test(p),
        lower=lambda e, p: e.negated(e.test(p)),
        example="filter (not is_ip)",
        family="combinator",
    ),
)
