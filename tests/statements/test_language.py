"""Statements 1 to 4 and 10 to 17: composition, branches, alternatives and the logic of predicates.

What an action of these delivers is a function of the action alone, so they are about actions. Statements about
deliveries are in `test_groups`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.backends import WORLD
from support.statements import A, B, Meanings, arp_frame, frame, icmp_frame, tcp_frame, udp_frame

from pfq.errors import UnknownNameError
from pfq.lang import compile_text, drop, inc, is_tcp, steer_flow, to_program, when
from pfq.lang.action import ANY_CLASSES, DEFAULT_CLASSES, Action, Event, EventKind, Fanout
from pfq.lang.interp import World
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

pytestmark = pytest.mark.agree

TCP, UDP, NOT_IP = tcp_frame(), udp_frame(), arp_frame()
FRAMES = (TCP, UDP, NOT_IP)

EFFECTS = 'inc 5 >-> mark 7 >-> put_state 9 >-> kernel >-> forward "eth0" >-> log_msg "here"'
"""Everything an action does beside the fan-out."""


def noted(action: Action) -> Action:
    """The action that has only the effects of this one."""
    return replace(action, fanout=Fanout.COPY, classes=DEFAULT_CLASSES, hash=0, hash2=0)


AFTER_EFFECTS = Action(
    counters={5: 1}, mark=7, state=9, kernel=True, forwards=["eth0"], events=[Event(EventKind.MESSAGE, "here")]
)


# composition


@pytest.mark.parametrize(
    "text",
    [
        f"{EFFECTS} >-> steer_flow",
        f"broadcast >-> tcp >-> {EFFECTS}",
        "steer_p2p >-> when is_udp (classify 3 >-> drop)",
    ],
)
def test_s01_unit_is_left_and_right_identity(decide: Meanings, text: str) -> None:
    """`unit` is also tried as a call of its own, since composition leaves it out."""
    unit = Call(PRIMS["unit"])
    around = Chain((unit, *(each for call in compile_text(text).main.calls for each in (call, unit))))
    for packet in FRAMES:
        alone = decide(text, packet)
        assert decide(f"unit >-> ({text})", packet) == alone
        assert decide(f"({text}) >-> unit", packet) == alone
        assert decide(Program(around), packet) == alone
    assert decide("unit", TCP) == Action()


TRIPLES = (
    ("inc 1 >-> tcp", "steer_flow", "broadcast"),
    ("par tcp (inc 2 >-> drop)", "kernel >-> inv udp", "inc 3"),
    ("classify 3", "when is_udp drop", "steer_p2p >-> mark 1"),
)


@pytest.mark.parametrize(("f", "g", "h"), TRIPLES)
def test_s02_composition_is_associative(decide: Meanings, f: str, g: str, h: str) -> None:
    ways = (
        f"(({f}) >-> ({g})) >-> ({h})",
        f"({f}) >-> (({g}) >-> ({h}))",
        f"main = both >-> {h}\nboth = {f} >-> {g}",
        f"main = {f} >-> both\nboth = {g} >-> {h}",
    )
    for packet in FRAMES:
        first, *others = (decide(way, packet) for way in ways)
        assert all(other == first for other in others)


def test_s02_in_python() -> None:
    f, g, h = inc(1), when(is_tcp, drop), steer_flow
    assert (
        to_program((f >> g) >> h)
        == to_program(f >> (g >> h))
        == compile_text("inc 1 >-> when is_tcp drop >-> steer_flow")
    )


@pytest.mark.parametrize(
    "dropping", ["drop", "filter is_udp", "udp", "when is_tcp drop", "par udp (port 1)", "when is_tcp (par drop drop)"]
)
def test_s03_after_a_drop_nothing_is_evaluated(decide: Meanings, dropping: str) -> None:
    text = f"{dropping} >-> steer_flow >-> broadcast >-> {EFFECTS}"
    assert decide(text, TCP) == Action(Fanout.DROP)


def test_s03_control(decide: Meanings) -> None:
    """Without the drop all of it happens, or the test above would prove nothing."""
    assert noted(decide(f"udp >-> steer_flow >-> broadcast >-> {EFFECTS}", UDP)) == AFTER_EFFECTS


@pytest.mark.parametrize("dropping", ["drop", "when is_tcp drop", "udp", "inv unit"])
def test_s04_effects_before_a_drop_stay(decide: Meanings, dropping: str) -> None:
    assert decide(f"{EFFECTS} >-> {dropping}", TCP) == replace(AFTER_EFFECTS, fanout=Fanout.DROP)
    assert decide("inc 0 >-> drop", TCP).counters == {0: 1}


# branches


@pytest.mark.parametrize(
    ("short", "long", "on_tcp", "on_udp"),
    [
        ("when is_tcp f", "conditional is_tcp f unit", True, False),
        ("unless is_tcp f", "conditional is_tcp unit f", False, True),
        ("if is_tcp then f else unit", "when is_tcp f", True, False),
    ],
)
def test_s10_branches_are_conditionals(decide: Meanings, short: str, long: str, on_tcp: bool, on_udp: bool) -> None:
    done = "\nf = inc 1 >-> steer_to 3"
    for packet, runs in ((TCP, on_tcp), (UDP, on_udp)):
        wanted = Action(Fanout.MEMBER, hash=3, counters={1: 1}) if runs else Action()
        assert decide(f"main = {short}{done}", packet) == decide(f"main = {long}{done}", packet) == wanted


def test_s10_filter_is_a_conditional(decide: Meanings) -> None:
    for packet, fanout in ((TCP, Fanout.MEMBER), (UDP, Fanout.DROP)):
        kept = decide("steer_to 3 >-> filter is_tcp", packet)
        assert kept == decide("steer_to 3 >-> conditional is_tcp unit drop", packet)
        assert kept.fanout == fanout


def test_s11_inv_exchanges_pass_and_drop(decide: Meanings) -> None:
    assert decide("inv tcp", TCP).fanout == Fanout.DROP
    assert decide("inv tcp", UDP) == Action(Fanout.COPY)
    assert decide("inv (inv tcp)", TCP).fanout == Fanout.COPY
    assert decide("inv (inv tcp)", UDP).fanout == Fanout.DROP


def test_s11_inv_cancels_a_steering_and_keeps_the_class(decide: Meanings) -> None:
    passed = decide("classify 3 >-> steer_to 5 >-> inv (steer_to 6 >-> tcp)", UDP)
    assert (passed.fanout, passed.classes) == (Fanout.COPY, 1 << 3)
    assert decide("classify 3 >-> steer_to 5 >-> inv (steer_to 6 >-> tcp)", TCP).fanout == Fanout.DROP


# alternatives


@pytest.mark.parametrize(
    ("f", "g"), [("tcp", "udp"), ("unit", "drop"), ("drop", "unit"), ("drop", "drop"), ("ip", "tcp")]
)
def test_s12_par_passes_what_one_passes(decide: Meanings, f: str, g: str) -> None:
    for packet in FRAMES:
        one = decide.passes(f, packet) or decide.passes(g, packet)
        assert decide.passes(f"par ({f}) ({g})", packet) is one


def test_s12_the_next_alternative_starts_from_the_fan_out_before(decide: Meanings) -> None:
    first = "broadcast >-> steer_to 6 >-> drop"
    assert decide(f"classify 3 >-> steer_to 5 >-> par ({first}) unit", TCP) == Action(Fanout.MEMBER, 1 << 3, hash=5)
    assert decide(f"par ({first}) unit", TCP) == Action()
    assert decide(f"par ({first}) (steer_to 8)", TCP) == Action(Fanout.MEMBER, hash=8)
    assert decide(f"par3 ({first}) (classify 9 >-> drop) broadcast", TCP) == Action(Fanout.COPY, ANY_CLASSES)


@pytest.mark.parametrize("count", range(2, 9))
def test_s12_alternatives_are_tried_from_left_to_right(decide: Meanings, count: int) -> None:
    """Alternative n passes source port n; port 1 passes at the second alternative, too, which must not run."""
    name = "par" if count == 2 else f"par{count}"
    tries = [
        f"(inc {n} >-> filter (has_src_port {n} .||. has_src_port {n - 1}) >-> put_state {n})"
        for n in range(1, count + 1)
    ]
    for port in (1, 2, count, 60):
        action = decide(f"{name} {' '.join(tries)}", tcp_frame(ports=(port, 80)))
        last = min(port, count)
        assert action.counters == dict.fromkeys(range(1, last + 1), 1)
        assert (action.fanout, action.state) == ((Fanout.COPY, port) if port <= count else (Fanout.DROP, 0))


def test_s12_there_are_at_most_eight() -> None:
    with pytest.raises(UnknownNameError):
        compile_text("par9 " + "ip " * 9)


def test_s13_effects_of_a_failed_alternative_stay(decide: Meanings) -> None:
    assert decide(f"par ({EFFECTS} >-> steer_to 4 >-> drop) unit", TCP) == AFTER_EFFECTS
    twice = decide("par3 (inc 1 >-> mark 2 >-> drop) (inc 1 >-> put_state 3 >-> drop) (inc 1)", TCP)
    assert (twice.counters, twice.mark, twice.state) == ({1: 3}, 2, 3)


# the logic of predicates


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
    true = "ip_ttl .< 65", "ip_ttl .<= 64", "ip_ttl .== 64", "ip_ttl ./= 5", "ip_ttl .> 63", "ip_ttl .>= 64"
    assert decide.holding(TTL_64, *true, "ip_ttl `any_bit` 64", "ip_ttl `all_bit` 64").issuperset(true)


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


def test_s16_mirrored_forms(decide: Meanings) -> None:
    """Whether the property stands on the right or on the left, the same is compared with the same."""
    signs = {
        "<": ("<", (65,)),
        "<=": ("<=", (64, 65)),
        "==": ("==", (64,)),
        "/=": ("/=", (63, 65)),
        ">": (">", (63,)),
        ">=": (">=", (63, 64)),
    }
    opposite = {"<": ">", "<=": ">=", "==": "==", "/=": "/=", ">": "<", ">=": "<="}
    plain = {f"ip_ttl .{sign} {n}": n in numbers for sign, (_, numbers) in signs.items() for n in (63, 64, 65)}
    mirrored = {
        f"{n} {opposite[sign]}. ip_ttl": n in numbers for sign, (_, numbers) in signs.items() for n in (63, 64, 65)
    }
    assert len(plain) == len(mirrored) == 18
    for tests in (plain, mirrored):
        assert decide.holding(TTL_64, *tests) == {test for test, truth in tests.items() if truth}


def test_s17_bits(decide: Meanings) -> None:
    value = 0b1010
    packet = frame(A, B, 6, b"", ttl=value)
    for mask in (0, 1, 2, 8, 10, 11, 5, 2**63 + 8, 2**64 - 1):
        wanted = {"any_bit"} if value & mask else set()
        wanted |= {"all_bit"} if value & mask == mask else set()
        tests = {f"ip_ttl `{name}` {mask}": name for name in ("any_bit", "all_bit")}
        assert {tests[test] for test in decide.holding(packet, *tests)} == wanted, mask
    assert decide.holding(icmp_frame(), "icmp_code `all_bit` 0", "icmp_code `any_bit` 0") == {"icmp_code `all_bit` 0"}
