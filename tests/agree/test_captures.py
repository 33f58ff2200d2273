"""Interpreter, native code and eBPF agree on every frame of every Ethernet capture."""

from __future__ import annotations

import pytest
from support.backends import LONGEST_TEST_RUN, KernelProgram, in_kernel
from support.frames import ethernet_captures, ethernet_frames
from support.programs import EVERY_PRIMITIVE

from pfq.codegen.native import NativeProgram
from pfq.codegen.spec import Hook
from pfq.lang.interp import decide
from pfq.lang.program import Program

pytestmark = pytest.mark.agree

FRAMES = {frame: path.name for path in ethernet_captures() for frame in ethernet_frames(path)}
"""Each different frame once, with a capture that has it."""


def check(program: Program, native: NativeProgram, kernel: KernelProgram) -> None:
    for frame, capture in FRAMES.items():
        wanted = decide(program, frame)
        assert native.decide(frame) == wanted, (capture, frame.hex())
        short = frame[:LONGEST_TEST_RUN]
        if kernel.accepts(short):
            assert kernel.decide(short) == decide(program, short), (capture, frame.hex())


def test_there_are_many_frames() -> None:
    assert len(FRAMES) > 5000
    assert len(ethernet_captures()) >= 25


@pytest.mark.parametrize(("name", "program"), EVERY_PRIMITIVE.items(), ids=list(EVERY_PRIMITIVE))
def test_every_primitive(name: str, program: Program) -> None:
    with in_kernel(program) as kernel:
        check(program, NativeProgram(program), kernel)


@pytest.mark.parametrize("hook", [Hook.TC_INGRESS, Hook.TC_EGRESS], ids=lambda hook: hook.value)
def test_steering_at_the_other_hooks(hook: Hook) -> None:
    program = EVERY_PRIMITIVE["steer_flow"]
    with in_kernel(program, hook) as kernel:
        check(program, NativeProgram(program), kernel)
