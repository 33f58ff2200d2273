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

from pfq.codegen.device import Device, DeviceCode, Group, compile_device
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
    "by key": "steer_key (key_ip_src <> key_ip_dst <> key_eth_vlan)",
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
    found = {case.text: case.name for case in reversed(cases().values())}
    return {name: text for text, name in reversed(found.items())} | OTHERS


@dataclass(frozen=True, slots=True)
class Figures:
    """instructions of the object; steps of the verifier and bytes of stack, all functions together."""

    instructions: int
    steps: int
    stack: int

    def __str__(self) -> str:
        return f"{self.instructions:5} instructions {self.steps:7} steps {self.stack:4} bytes of stack"


def compiled(text: str) -> DeviceCode:
    return compile_device(Device(Hook.XDP, (Group(0, compile_text(text)),), CPUS, RINGS))


@cache
def instructions(text: str) -> int:
    spec = compiled(text).object
    return len(elf.link(spec.elf, spec.entry).insns) // abi.INSN_BYTES


def verified(code: DeviceCode, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """(steps, stack in bytes, time in microseconds) as the verifier says for an accepted program."""
    logs = []

    def with_statistics(attr: abi.ProgLoadAttr) -> sys.LoadResult:
        result, log = sys._logged(attr, LOG_STATISTICS, LOG_BYTES)
        logs.append(log)
        return sys._result(result, log)

    monkeypatch.setattr(sys, "_load", with_statistics)
    with ExitStack() as undo:
        maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in code.object.maps}
        steps = undo.enter_context(load(code.object, maps, "pfq_costs")).info().verified_insns
    (time,) = re.findall(r"verification time (\d+) usec", logs[-1])
    (stack,) = re.findall(r"stack depth ([\d+]+)", logs[-1])
    return steps, sum(map(int, stack.split("+"))), int(time)


def written(text: str) -> Figures:
    """The figures in the file, of the program with this text."""
    lines = FILE.read_text().splitlines()[1:] if FILE.exists() else []
    found = dict(zip(lines[1::2], lines[::2], strict=True))
    if text not in found:
        pytest.fail(f"{FILE.name} lacks `{text[:60]}`; run the tests with --update-golden and look at what they wrote")
    return Figures(*map(int, re.findall(r"(\d+) (?:instr|steps|bytes)", found[text])))
