"""Statements 14 to 17: the logic of predicates, and comparisons of properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.backends import WORLD
from support.statements import A, B, Meanings, arp_frame, frame, icmp_frame, tcp_frame, udp_frame

from pfq.lang.interp import World

pytestmark = pytest.mark.agree

TCP, UDP, NOT_IP = tcp_frame(), udp_frame(), arp_frame()


@pytest.mark.parametrize(
    ("sign", "name", "holds"),
    [(".&&.", "and", lambda p, q: p and q), (".||.", "or", lambda p, q: p or q), (".^^.", "xor", lambda p, q: p != q)],
)
def test_s14_truth_tables(decide: Meanings, sign: str, name: str, holds: Callable[[bool, bool], bool]) -> None:
    values = {"is_ip": True, "is_tcp": False}
    pairs = {(p, q): holds(values[p], values[q]) for p in values for q in values}
    for form in (f"{{}} {sign} {{}}", f"{name} {{}} {{}}"):
        wanted = {form.format(*pair) for pair, truth in pairs.items() if truth}
        assert decide.holding(UDP, *(form.format(*pair) for pair in pairs)) == wanted


def test_s14_not_negates(decide: Meanings) -> None:
    assert decide.holding(UDP, "not is_tcp", "not is_ip", "not (not is_ip)") == {"not is_tcp", "not (not is_ip)"}


def at_time(milliseconds: int) -> World:
    return replace(WORLD, now_ns=10**9 + milliseconds * 10**6)


LOOK = "flow_get key_3tuple 8 2 .== 7"
"""A predicate whose evaluation can be seen: it keeps the flow alive for 2 seconds more."""


@pytest.mark.parametrize(
    ("test", "port", "looked"),
    [
        (f"has_src_port 2 .&&. {LOOK}", 2, True),
        (f"has_src_port 2 .&&. {LOOK}", 3, False),
        (f"has_src_port 2 .||. {LOOK}", 2, False),
        (f"has_src_port 2 .||. {LOOK}", 3, True),
        (f"has_src_port 2 .^^. {LOOK}", 2, True),
        (f"has_src_port 2 .^^. {LOOK}", 3, True),
        (f"{LOOK} .&&. has_src_port 2", 3, True),
    ],
)
def test_s14_the_second_is_evaluated_only_when_it_matters(decide: Meanings, test: str, port: int, looked: bool) -> None:
    text = f"""main = when (has_src_port 9) (when ({LOOK}) (inc 1) >-> drop)
        >-> when (has_src_port 1) (flow_put key_3tuple 8 2 7 >-> drop)
        >-> when ({test}) (inc 0)"""

    def at(milliseconds: int, source_port: int) -> dict[int, int]:
        # Cases with the same program must not meet each other's flows.
        host = f"10.0.{port}.1"
        return decide(text, tcp_frame(host, ports=(source_port, 80)), at_time(milliseconds)).counters

    at(0, 1)
    at(1500, port)
    assert at(2500, 9) == ({1: 1} if looked else {}), "alive only when the look at 1.5 s happened"


COMPARATORS = {
    ".<": "less",
    ".<=": "less_eq",
    ".==": "equal",
    "./=": "not_equal",
    ".>": "greater",
    ".>=": "greater_eq",
    "`any_bit`": "any_bit",
    "`all_bit`": "all_bit",
}


@pytest.mark.parametrize(
    ("prop", "without"), [("ip_ttl", NOT_IP), ("tcp_dest", UDP), ("icmp_type", TCP)], ids=["ip", "tcp", "icmp"]
)
def test_s15_comparators_are_false_when_the_property_is_absent(decide: Meanings, prop: str, without: bytes) -> None:
    operands = (0, 5, 2**64 - 1)
    tests = [f"{prop} {sign} {n}" for sign in COMPARATORS for n in operands]
    tests += [f"{name} {prop} {n}" for name in COMPARATORS.values() for n in operands]
    assert decide.holding(without, *tests) == set()
    negated = [f"not ({prop} {sign} 5)" for sign in COMPARATORS]
    assert decide.holding(without, *negated) == set(negated)
    assert decide.passes(f"unless ({prop} .== 5) (steer_to 1)", without)


TTL_64 = tcp_frame()


def test_s15_control(decide: Meanings) -> None:
    """With the property each of them can be true."""
    operands = dict(zip(COMPARATORS, (65, 64, 64, 5, 63, 64, 64, 64), strict=True))
    true = [f"ip_ttl {sign} {operand}" for sign, operand in operands.items()]
    assert decide.holding(TTL_64, *true) == set(true)


def test_s16_comparisons_are_unsigned_and_of_64_bits(decide: Meanings) -> None:
    truths = {
        f"ip_ttl .< {2**64 - 1}": True,
        f"ip_ttl .<= {2**63}": True,
        f"ip_ttl .> {2**63}": False,
        f"ip_ttl .>= {2**64 - 64}": False,
        f"ip_ttl ./= {2**32 + 64}": True,
        f"ip_ttl .== {2**32 + 64}": False,
        f"ip_ttl .< {2**32}": True,
        f"ip_ttl .> {2**32}": False,
        "get_mark .> 2147483648": True,
    }
    text = "mark 4294967295 >-> " + " >-> ".join(f"when ({test}) (inc {n})" for n, test in enumerate(truths))
    assert decide(text, TTL_64).counters == {n: 1 for n, truth in enumerate(truths.values()) if truth}


MIRRORED = {"<": ">", "<=": ">=", "==": "==", "/=": "/=", ">": "<", ">=": "<="}
TRUE_FOR_64 = {"<": {65}, "<=": {64, 65}, "==": {64}, "/=": {63, 65}, ">": {63}, ">=": {63, 64}}
"""The numbers 63 to 65 that 64 has this relation to."""


def test_s16_mirrored_forms(decide: Meanings) -> None:
    """Whether the property stands on the left or on the right, the same is compared with the same."""
    forms = {}
    for sign, numbers in TRUE_FOR_64.items():
        for n in (63, 64, 65):
            forms[f"ip_ttl .{sign} {n}"] = forms[f"{n} {MIRRORED[sign]}. ip_ttl"] = n in numbers
    assert decide.holding(TTL_64, *forms) == {form for form, truth in forms.items() if truth}


def test_s17_bits(decide: Meanings) -> None:
    value, masks = 0b1010, (0, 1, 2, 8, 10, 11, 5, 2**63 + 8, 2**64 - 1)
    packet = frame(A, B, 6, b"", ttl=value)
    tests = {f"ip_ttl `any_bit` {mask}": value & mask != 0 for mask in masks}
    tests |= {f"ip_ttl `all_bit` {mask}": value & mask == mask for mask in masks}
    assert decide.holding(packet, *tests) == {test for test, truth in tests.items() if truth}
    assert decide.holding(icmp_frame(), "icmp_code `all_bit` 0", "icmp_code `any_bit` 0") == {"icmp_code `all_bit` 0"}
