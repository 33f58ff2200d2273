"""The three meanings of a program, to compare: interpreter, native code, eBPF in the kernel."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any

from pfq.codegen import layouts
from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.native import ActionRecord, NativeProgram
from pfq.codegen.spec import Hook
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.programs import load
from pfq.lang.action import COUNTERS, Action
from pfq.lang.interp import Interpreter, World
from pfq.lang.prefixset import PrefixSet
from pfq.lang.program import Program

SHORTEST_ACCEPTED = 60
LONGEST_TEST_RUN = 3000
"""A test run takes a page at most, and the kernel wants some of it."""

LOOPBACK, LOOPBACK_INDEX = "lo", 1
"""Test runs come in on this device."""

WORLD = World(device=LOOPBACK, hosts=frozenset(map(ip_address, ("10.0.0.1", "2001:db8::1"))), now_ns=1_000_000_000)

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)


class KernelProgram:
    """A program in the kernel, run on single frames without any device."""

    def __init__(self, program: Program, hook: Hook, undo: ExitStack) -> None:
        device = Device(hook, (Group(0, program),), cpus=possible_cpus(), rings=RINGS, trial=True)
        self.code = compile_device(device)
        maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in self.code.object.maps}
        self.program = undo.enter_context(load(self.code.object, maps, "pfq_agree"))
        self._scratch = self._memory(maps[layouts.SCRATCH_MAP], undo)
        self._counters = self._memory(maps[layouts.COUNTERS_MAP], undo)
        self._config = self._memory(maps[layouts.CONFIG_MAP], undo)
        data = layouts.of_group(layouts.DATA_MAP, 0)
        self._data = self._memory(maps[data], undo) if data in maps else None
        hosts = layouts.HOSTS_MAP
        self._hosts_memory = self._memory(maps[hosts], undo) if hosts in maps else None
        if self._data is not None:
            content = self.code.plan.content()
            self._data[: len(content)] = content
        for number, name in enumerate(self.code.plan.devices):
            index = LOOPBACK_INDEX if name == LOOPBACK else 1000 + number
            struct.pack_into("<I", self._config, layouts.DEVICES + 4 * number, index)
        self._hosts: frozenset[Any] = frozenset()

    @staticmethod
    def _memory(table: Map, undo: ExitStack) -> mmap.mmap:
        memory = table.mmap(writable=True)
        undo.callback(memory.close)
        return memory

    def accepts(self, frame: bytes) -> bool:
        """The kernel makes test runs with such a frame: TC wants the fixed header its EtherType promises."""
        behind = 0 if self.program.hook is Hook.XDP else {b"\x08\0": 20, b"\x86\xdd": 40}.get(frame[12:14], 1)
        return 14 + behind <= len(frame) <= LONGEST_TEST_RUN

    def decide(self, frame: bytes, *, world: World = WORLD) -> Action:
        """The action for a frame. Runs on CPU 0, which the caller is pinned to."""
        plan, region = self.code.plan, self.code.hosts.hosts
        if region is not None and self._hosts_memory is not None and self._hosts != world.hosts:
            self._hosts = world.hosts
            packed = region.packed(PrefixSet.of(map(str, world.hosts)) if world.hosts else PrefixSet(""))
            self._hosts_memory[region.offset : region.offset + len(packed)] = packed
        struct.pack_into("<Q", self._config, layouts.TRIAL_TIME, world.now_ns)
        self._counters[: layouts.GROUP_COUNTER_BYTES] = bytes(layouts.GROUP_COUNTER_BYTES)
        self.program.test_run(frame)
        record = ActionRecord.from_buffer_copy(self._scratch[: layouts.RECORD_BYTES])
        counts = memoryview(self._counters[layouts.USER_COUNTERS : layouts.GROUP_COUNTER_BYTES]).cast("Q")
        return record.action({index: counts[index] for index in range(COUNTERS) if counts[index]}, plan)


@contextmanager
def in_kernel(program: Program, hook: Hook = Hook.XDP) -> Iterator[KernelProgram]:
    """A program loaded for the moment, with this thread pinned to CPU 0."""
    before = os.sched_getaffinity(0)
    with ExitStack() as undo:
        os.sched_setaffinity(0, {0})
        undo.callback(os.sched_setaffinity, 0, before)
        yield KernelProgram(program, hook, undo)


class Backends:
    """One program in all three meanings, each with its own memory, which see the same packets in the same order.

    kernel  None for frames and machines where there is none
    """

    def __init__(self, program: Program, kernel: KernelProgram | None, level: int = 2) -> None:
        self.program = program
        self.interpreter = Interpreter(program)
        self.native = NativeProgram(program, level)
        self.kernel = kernel
        self.compared = 0

    def compare_short(self, frame: bytes, world: World = WORLD) -> Action:
        """The same for frames of any length; those that the kernel makes no test run with skip it. For programs
        without memory only."""
        kernel, self.kernel = self.kernel, None
        wanted = self.compare(frame, world)
        self.kernel = kernel
        if kernel is not None and kernel.accepts(frame):
            found = kernel.decide(frame, world=world)
            assert found == wanted, f"kernel: {found}\n{wanted}\n{self.program}\n{frame.hex()}"
        return wanted

    def compare(self, frame: bytes, world: World = WORLD) -> Action:
        """The action for a frame, when all agree on it. A frame that the kernel makes no test run with is cut
        or left out, so that memories stay equal."""
        if self.kernel is not None:
            frame = frame[:LONGEST_TEST_RUN]
            if not self.kernel.accepts(frame):
                frame = frame.ljust(SHORTEST_ACCEPTED, b"\0")
        wanted = self.interpreter.decide(frame, world=world)
        found = self.native.decide(frame, world=world)
        assert found == wanted, f"native code: {found}\n{wanted}\n{self.program}\n{frame.hex()}"
        if self.kernel is not None:
            found = self.kernel.decide(frame, world=world)
            assert found == wanted, f"kernel: {found}\n{wanted}\n{self.program}\n{frame.hex()}"
        self.compared += 1
        return wanted
