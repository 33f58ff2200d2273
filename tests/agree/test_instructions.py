"""V5: what programs cost: their instructions, the verifier's work, their stack. It is noticed when it changes.

The figures are kept in instructions.txt; `--update-golden` writes it. The number of instructions is the same on
every machine. The verifier's figures are compared on the kernel they were taken on.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from support.handwritten import cases

from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.kernel import abi, elf, sys
from pfq.kernel.maps import Map
from pfq.kernel.programs import load
from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

FILE = Path(__file__).with_name("instructions.txt")
CPUS, RINGS = 64, RingShape(4096, 2048, 2016)
MOST_STEPS, MOST_STACK_BYTES, MOST_VERIFICATION_US = 250_000, 512, 500_000
SHARE = 0.20
LOG_STATISTICS, LOG_BYTES, TRIES = 4, 1 << 16, 3

OTHERS = {
    "everything": "unit",
    "one host": "addr 10.0.0.1 >-> steer_p2p",
    "in turn": "udp >-> steer_rrobin",
    "by VLAN": "vlan_id_filter [5, 7, 100] >-> steer_vlan",
    "by key": "steer_key (key_ip_src <> key_ip_dst <> key_ip_proto)",
    "both ends": "double_steer_ip",
    "any of eight": "par8 (port 53) (port 80) (port 443) (port 22) (port 25) (port 110) (port 143) (port 993)",
    "classes": "when (has_port 5060) (classify 2) >-> unless is_flow (classify 1) >-> steer_flow",
    "mobile users": "steer_gtp_usr 10.0.0.0 8",
    "telephony": "voip >-> steer_voip",
    "new connections": "when is_syn (flow_put key_5tuple 65536 60 1) >-> flow_inc key_5tuple 65536 60 >-> steer_flow",
    "pings": 'when is_icmp (log_msg "ping" >-> kernel) >-> sample 10',
}


def texts() -> dict[str, str]:
    """Typical programs by name: those of the benchmark and others."""
    return {case.name: case.text for case in cases().values() if case.name != "prefixes_bisect"} | OTHERS


@dataclass(frozen=True, slots=True)
class Figures:
    """instructions of the object; steps of the verifier and bytes of stack, all functions together."""

    instructions: int
    steps: int
    stack: int

    def __str__(self) -> str:
        return f"{self.instructions} instructions, {self.steps} steps, {self.stack} bytes of stack"


@cache
def figures(name: str) -> tuple[Figures, int]:
    """What a program costs, and how long the verifier took, in microseconds."""
    code = compile_device(Device(Hook.XDP, (Group(0, compile_text(texts()[name])),), CPUS, RINGS))
    instructions = len(elf.link(code.object.elf, code.object.entry).insns) // abi.INSN_BYTES
    logs = []

    def with_statistics(attr: abi.ProgLoadAttr) -> sys.LoadResult:
        result, log = sys._logged(attr, LOG_STATISTICS, LOG_BYTES)
        logs.append(log)
        return sys._result(result, log)

    with ExitStack() as undo:
        undo.enter_context(pytest.MonkeyPatch.context()).setattr(sys, "_load", with_statistics)
        maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in code.object.maps}
        for _ in range(TRIES):
            steps = undo.enter_context(load(code.object, maps, "pfq_costs")).info().verified_insns
    times = [int(re.findall(r"verification time (\d+) usec", log)[0]) for log in logs]
    depths = re.findall(r"stack depth ([\d+]+)", logs[0])[0]
    return Figures(instructions, steps, sum(map(int, depths.split("+")))), min(times)


def noted() -> tuple[str, dict[str, Figures]]:
    """The kernel and the figures in the file."""
    kernel, *lines = FILE.read_text().splitlines()
    parts = (line.split(": ") for line in lines)
    return kernel, {name: Figures(*map(int, re.findall(r"\d+", rest))) for name, rest in parts}


@pytest.mark.slow
@pytest.mark.parametrize("name", texts())
def test_V5_limits(name: str) -> None:
    found, time_us = figures(name)
    assert found.steps < MOST_STEPS
    assert found.stack <= MOST_STACK_BYTES
    assert time_us <= MOST_VERIFICATION_US


@pytest.mark.slow
def test_V5_figures_are_as_noted(request: pytest.FixtureRequest) -> None:
    found = {name: figures(name)[0] for name in texts()}
    if request.config.getoption("--update-golden"):
        lines = (f"{name}: {each}" for name, each in found.items())
        FILE.write_text("\n".join((os.uname().release, *lines)) + "\n")
    assert FILE.exists(), "run the tests with --update-golden and look at what they wrote"
    kernel, wanted = noted()
    assert {name: each.instructions for name, each in found.items()} == {
        name: each.instructions for name, each in wanted.items()
    }
    if kernel == os.uname().release:
        changed = [
            name for name, each in found.items() if abs(each.steps - wanted[name].steps) > SHARE * wanted[name].steps
        ]
        assert not changed, {name: (found[name], wanted[name]) for name in changed}
        assert {name: each.stack for name, each in found.items()} == {name: each.stack for name, each in wanted.items()}
