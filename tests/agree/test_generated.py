"""Interpreter, native code and eBPF give the same action for generated programs and frames."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.backends import WORLD, Backends, in_kernel
from support.frames import frames
from support.programs import example_program, programs

from pfq.codegen.native import NativeProgram
from pfq.codegen.spec import Hook
from pfq.lang.prims import PRIMS, Prim
from pfq.lang.program import Program

pytestmark = pytest.mark.agree

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SOME_FRAMES = st.lists(frames(), min_size=12, max_size=12)


def compare(program: Program, some_frames: list[bytes], hook: Hook = Hook.XDP) -> None:
    with in_kernel(program, hook) as kernel:
        backends = Backends(program, kernel)
        for frame in some_frames:
            backends.compare(frame)


@pytest.mark.parametrize("prim", PRIMS.values(), ids=lambda prim: prim.name)
@settings(SETTINGS, max_examples=3)
@given(data=st.data(), some_frames=SOME_FRAMES)
def test_every_primitive(prim: Prim, data: st.DataObject, some_frames: list[bytes]) -> None:
    compare(example_program(prim, data), some_frames)


@settings(SETTINGS, max_examples=40)
@given(program=programs, some_frames=SOME_FRAMES)
def test_V2_optimising_changes_nothing(program: Program, some_frames: list[bytes]) -> None:
    plain, optimal = (NativeProgram(program, level) for level in (0, 3))
    for frame in some_frames:
        assert plain.decide(frame, world=WORLD) == optimal.decide(frame, world=WORLD), (str(program), frame.hex())


@pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
@settings(SETTINGS, max_examples=40)
@given(program=programs, some_frames=SOME_FRAMES)
def test_compositions(hook: Hook, program: Program, some_frames: list[bytes]) -> None:
    compare(program, some_frames, hook)
