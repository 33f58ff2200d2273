"""Interpreter, native code and eBPF agree on every frame of every Ethernet capture."""

from __future__ import annotations

import pytest
from support.backends import Backends, in_kernel
from support.frames import ethernet_captures, ethernet_frames
from support.programs import EVERY_PRIMITIVE

from pfq.codegen.spec import Hook
from pfq.lang.program import Program

pytestmark = pytest.mark.agree

FRAMES = {frame: path.name for path in ethernet_captures() for frame in ethernet_frames(path)}
"""Each different frame once, with a capture that has it."""


def test_there_are_many_frames() -> None:
    assert len(FRAMES) > 5000
    assert len(ethernet_captures()) >= 25


@pytest.mark.parametrize(("name", "program"), EVERY_PRIMITIVE.items(), ids=list(EVERY_PRIMITIVE))
def test_every_primitive(name: str, program: Program) -> None:
    with in_kernel(program) as kernel:
        backends = Backends(program, kernel)
        for frame in FRAMES:
            backends.compare(frame)


@pytest.mark.parametrize("hook", [Hook.TC_INGRESS, Hook.TC_EGRESS], ids=lambda hook: hook.value)
def test_steering_at_the_other_hooks(hook: Hook) -> None:
    program = EVERY_PRIMITIVE["steer_flow"]
    with in_kernel(program, hook) as kernel:
        backends = Backends(program, kernel)
        for frame in FRAMES:
            backends.compare(frame)
