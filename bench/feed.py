"""The feeding side of the benchmark: programs driven by live-frame test runs, as a driver would."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from llvmlite import ir

from pfq.codegen.device import Device, DeviceCode, Group, GroupCode
from pfq.codegen.finish import Clock
from pfq.codegen.llvm import I32, PTR, bpf_machine, new_module, optimised
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.engine.compiler import CodesAtOnce
from pfq.engine.datapath import DataPath, Hosts
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.hooks import XDP_NATIVE
from pfq.engine.keeper import Unkept
from pfq.engine.memory import EngineMemory
from pfq.engine.rings import Rings
from pfq.engine.steering import Member, SteeringTable
from pfq.kernel.maps import possible_cpus
from pfq.kernel.programs import Program, load
from pfq.lang.action import DEFAULT_CLASSES
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide

FEEDER_CPU, READER_CPU = 0, 1
ENDPOINTS = 4
FLOWS = 64
CHUNK = 1 << 22
"""Frames of one test run: setting one up takes tens of milliseconds, which must not count."""
FRAME_BYTES = 60
XDP_DROP = 1


def frame(flow: int, size: int = FRAME_BYTES) -> bytes:
    """A UDP frame of one of the flows."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0, 64, 17, 0, b"\x0a\0\0\1", bytes([10, 1, 0, flow]))
    udp = struct.pack(">HHHH", 1000 + flow, 53, size - 34, 0)
    return (b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + udp).ljust(size, b"\0")


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """This thread on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def drop_program() -> Program:
    """The ceiling: a program that drops every frame."""
    module = new_module("ceiling", bpf_machine())
    function = ir.Function(module, ir.FunctionType(I32, [PTR]), "ceiling")
    function.section = "xdp"
    ir.IRBuilder(function.append_basic_block()).ret(I32(XDP_DROP))
    elf = bpf_machine().emit_object(optimised(module, bpf_machine()))
    return load(ObjectSpec(elf, "ceiling", Hook.XDP, ()), {}, "ceiling")


@dataclass
class Fed:
    """A data path under test, with no device: its program is run by the benchmark itself."""

    program: Program
    memory: EngineMemory
    endpoints: list[Rings]


@contextmanager
def data_path(text: str, clock: Clock, slots: int, slot_bytes: int = 128) -> Iterator[Fed]:
    """A program over `ENDPOINTS` end-points; frames it has dealt with are dropped."""
    shape = RingShape(slots, slot_bytes, slot_bytes - 32)
    group = Group(0, compile_text(text, "<bench>"))
    spec = Device(Hook.XDP, (group,), possible_cpus(), shape, clock=clock, inline=True, linear=True)
    with ExitStack() as undo:
        memory = EngineMemory(Unkept())
        undo.callback(memory.close)
        endpoints = [Rings.create(shape, possible_cpus(), Unkept()) for _ in range(ENDPOINTS)]
        for number, endpoint in enumerate(endpoints):
            undo.callback(endpoint.close)
            memory.install(number, endpoint, shape.snaplen, clock)

        def memory_of(code: GroupCode, device: DeviceCode) -> GroupMemory:
            made = GroupMemory.create(code, device, memory.pool)
            undo.callback(made.close)
            made.set_members([Member(number) for number in range(ENDPOINTS)])
            return made

        path = DataPath(memory, spec, memory_of, Hosts(), CodesAtOnce())
        undo.callback(path.close)
        yield Fed(path.program(XDP_NATIVE, linear=True), memory, endpoints)


def frames_for_all(size: int) -> list[bytes]:
    """A frame for each end-point, of a flow that `steer_flow` gives to it."""
    table = SteeringTable.of([Member(number) for number in range(ENDPOINTS)], DEFAULT_CLASSES)
    program = compile_text("steer_flow", "<bench>")
    found: dict[int, bytes] = {}
    for flow in range(FLOWS):
        (endpoint,) = table.select(decide(program, frame(flow, size)))
        found.setdefault(endpoint, frame(flow, size))
    return [found[number] for number in range(ENDPOINTS)]


def feed(program: Program, packets: int, size: int = FRAME_BYTES) -> float:
    """Runs the program on so many frames, end-point after end-point; seconds it took."""
    frames = frames_for_all(size)
    with pinned(FEEDER_CPU):
        start = time.perf_counter()
        for chunk in range(packets // CHUNK):
            program.test_run(frames[chunk % ENDPOINTS], repeat=CHUNK, live=True, batch=256)
        return time.perf_counter() - start
