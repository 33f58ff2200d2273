"""The three meanings of a program, to compare: interpreter, native code, eBPF in the kernel."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pfq.codegen import layouts
from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.native import ActionRecord
from pfq.codegen.spec import Hook
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.programs import load
from pfq.lang.action import COUNTERS, Action
from pfq.lang.program import Program

LONGEST_TEST_RUN = 3000
"""A test run takes a page at most, and the kernel wants some of it."""

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)


class KernelProgram:
    """A program in the kernel, run on single frames without any device."""

    def __init__(self, program: Program, hook: Hook, undo: ExitStack) -> None:
        device = Device(hook, (Group(0, program),), cpus=possible_cpus(), rings=RINGS, deliver=False)
        self.code = compile_device(device)
        maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in self.code.object.maps}
        self.program = undo.enter_context(load(self.code.object, maps, "pfq_agree"))
        self._scratch = self._memory(maps[layouts.SCRATCH_MAP], undo)
        self._counters = self._memory(maps[layouts.COUNTERS_MAP], undo)

    @staticmethod
    def _memory(table: Map, undo: ExitStack) -> mmap.mmap:
        memory = table.mmap(writable=True)
        undo.callback(memory.close)
        return memory

    def accepts(self, frame: bytes) -> bool:
        """The kernel makes test runs with such a frame: TC wants the fixed header its EtherType promises."""
        behind = 0 if self.program.hook is Hook.XDP else {b"\x08\0": 20, b"\x86\xdd": 40}.get(frame[12:14], 1)
        return 14 + behind <= len(frame) <= LONGEST_TEST_RUN

    def decide(self, frame: bytes) -> Action:
        """The action for a frame. Runs on CPU 0, which the caller is pinned to."""
        self._counters[: layouts.GROUP_COUNTER_BYTES] = bytes(layouts.GROUP_COUNTER_BYTES)
        self.program.test_run(frame)
        record = ActionRecord.from_buffer_copy(self._scratch[: layouts.ACTION_BYTES])
        counts = memoryview(self._counters[layouts.USER_COUNTERS : layouts.GROUP_COUNTER_BYTES]).cast("Q")
        return record.action({index: counts[index] for index in range(COUNTERS) if counts[index]})


@contextmanager
def in_kernel(program: Program, hook: Hook = Hook.XDP) -> Iterator[KernelProgram]:
    """A program loaded for the moment, with this thread pinned to CPU 0."""
    before = os.sched_getaffinity(0)
    with ExitStack() as undo:
        os.sched_setaffinity(0, {0})
        undo.callback(os.sched_setaffinity, 0, before)
        yield KernelProgram(program, hook, undo)
