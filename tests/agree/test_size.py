"""Large programs: those of up to 64 primitives are accepted, and those too large are refused with what to do."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.programs import any_call

from pfq.codegen.device import Device, DeviceCode, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.errors import TooBigError, VerifierError
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.programs import load
from pfq.lang.compile import compile_text
from pfq.lang.prims import Kind
from pfq.lang.program import Call, Chain, Program, calls_of

pytestmark = pytest.mark.agree

SIZES, EACH = (16, 32, 48, 64), 10
LARGER = (128, 256, 1024)
MANY, TOO_MANY = 500, 1500
"""Alternatives of a program that is accepted, and of one that cannot be expressed in eBPF."""
RINGS = RingShape(64, 128, 96)
POOL = 300


def pool() -> list[Call]:
    """Calls of actions with arguments of all kinds and depths; the same each time."""
    found: list[Call] = []

    @settings(max_examples=POOL, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(st.integers(0, 3).flatmap(lambda depth: any_call(Kind.ACTION, depth)))
    def collect(call: Call) -> None:
        found.append(call)

    collect()
    return found


def count(call: Call) -> int:
    return sum(1 for _ in calls_of(call))


CALLS = pool()


def drawn(size: int, seed: int) -> Program:
    """A chain that has so many calls of primitives in all."""
    draw = random.Random(f"{size} {seed}")
    chosen: list[Call] = []
    left = size
    while left:
        call = draw.choice([call for call in CALLS if count(call) <= left])
        chosen.append(call)
        left -= count(call)
    return Program(Chain(tuple(chosen)))


def compiled(program: Program) -> DeviceCode:
    """For XDP, which cannot forward, or else for TC."""
    cpus = possible_cpus()
    code = compile_device(Device(Hook.TC_INGRESS, (Group(0, program),), cpus, RINGS))
    return code if code.plan.devices else compile_device(Device(Hook.XDP, (Group(0, program),), cpus, RINGS))


def steps(code: DeviceCode) -> int:
    """The verifier's work; raises VerifierError when it refuses the program."""
    with ExitStack() as undo:
        maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in code.object.maps}
        return undo.enter_context(load(code.object, maps, "pfq_size")).info().verified_insns


def test_calls_are_of_many_primitives() -> None:
    assert len({call.prim.name for drawn_call in CALLS for call in calls_of(drawn_call)}) > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(EACH))
@pytest.mark.parametrize("size", SIZES)
def test_programs_of_up_to_64_primitives_are_accepted(size: int, seed: int) -> None:
    program = drawn(size, seed)
    assert sum(1 for _ in program.calls()) == size
    assert steps(compiled(program)) < 250_000


def refusal(program: Program) -> TooBigError | VerifierError | None:
    """Why a program cannot be loaded, when it is too large."""
    try:
        steps(compiled(program))
    except (TooBigError, VerifierError) as error:
        return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize("size", LARGER)
def test_larger_ones_are_accepted_or_refused_with_a_remedy(size: int) -> None:
    refused = refusal(drawn(size, 0))
    assert refused is None or "split" in str(refused.hint)


def alternatives(number: int) -> Program:
    return compile_text(" >-> ".join(f"when (has_port {port}) (inc {port % 64})" for port in range(number)))


@pytest.mark.slow
def test_many_alternatives_are_accepted() -> None:
    assert steps(compiled(alternatives(MANY))) < 1_000_000


@pytest.mark.slow
def test_what_ebpf_cannot_express_is_refused_with_a_remedy() -> None:
    with pytest.raises(TooBigError) as caught:
        compiled(alternatives(TOO_MANY))
    assert "split" in str(caught.value.hint)
