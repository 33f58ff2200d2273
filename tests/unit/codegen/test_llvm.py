"""LLVM in this process: what it leaves behind."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.native import NativeProgram
from pfq.codegen.spec import Hook
from pfq.lang.compile import compile_text

RINGS = RingShape(64, 128, 96)
PAGE_BYTES = 4096

REFUSED = """
from pfq.codegen import device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.errors import TooBigError
from pfq.lang.compile import compile_text

device.MAX_LINES = 10
group = device.Group(0, compile_text("tcp"))
try:
    device.compile_device(device.Device(Hook.XDP, (group,), 2, RingShape(64, 128, 96)))
except TooBigError as error:
    error.itself = error  # and with it the traceback, in which the module is
"""
NATIVE = """
from pfq.codegen.native import NativeProgram
from pfq.lang.compile import compile_text

program = NativeProgram(compile_text("tcp"))
program.itself = program
del program
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [REFUSED, NATIVE])
def test_what_is_in_a_cycle_is_freed_in_the_right_order(code: str) -> None:
    """A context that is freed before its module ends the process."""
    whole = f"import gc\n{code}\ngc.collect()\nprint('alive')"
    assert subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True).stdout == "alive\n"


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@pytest.mark.slow
def test_compiling_keeps_no_memory() -> None:
    program = compile_text("tcp >-> steer_flow")

    def compile_both() -> None:
        compile_device(Device(Hook.XDP, (Group(0, program),), 2, RINGS))
        NativeProgram(program)

    for _ in range(20):
        compile_both()
    before = resident_bytes()
    for _ in range(40):
        compile_both()
    assert resident_bytes() - before < 2 << 20
