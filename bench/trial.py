"""Programs under test: loaded, run on single frames, and timed. Nothing is delivered.

The kernel times a program by running it many times on one frame. What it does around each run takes
longer than the program, so the program is made part of another one that calls it `CALLS` times; the
same with a program that does nothing is what is to be taken off.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from pfq.codegen import layouts
from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.native import ActionRecord
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.engine.steering import Member, SteeringTable
from pfq.kernel import abi, sys
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.elf import Image, link
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.programs import Program, _with_maps, load
from pfq.lang.action import COUNTERS, DEFAULT_CLASSES, Action, Fanout
from pfq.lang.program import Program as Source

CALLS = 64
RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)
TABLE = SteeringTable.of([Member(number) for number in range(4)], DEFAULT_CLASSES)
TIME_NS = 1_000_000_000
"""What programs take for the time."""

INSN = struct.Struct("<BBhi")
R0, R1, R6, R7 = 0, 1, 6, 7
MOVE, SET, ADD, CALL, JUMP_IF_NOT, EXIT = 0xBF, 0xB7, 0x07, 0x85, 0x55, 0x95
LOOP = (
    (MOVE, R6 | R1 << 4, 0, 0),
    (SET, R7, 0, CALLS),
    (MOVE, R1 | R6 << 4, 0, 0),
    (CALL, abi.PSEUDO_CALL << 4, 0, 3),
    (ADD, R7, 0, -1),
    (JUMP_IF_NOT, R7, -4, 0),
    (EXIT, 0, 0, 0),
)
"""Calls what stands behind it, with the context, `CALLS` times."""
NOTHING = ((SET, R0, 0, 2), (EXIT, 0, 0, 0))
FUNC_INFO_BYTES, LINE_INFO_BYTES = 8, 16


def assembled(insns: tuple[tuple[int, int, int, int], ...]) -> bytes:
    return b"".join(INSN.pack(*insn) for insn in insns)


def called_often(image: Image) -> Image:
    """The program as a function that a loop calls."""
    shift = len(LOOP)

    def moved(records: bytes, size: int) -> bytes:
        """Records that begin with the number of an instruction; the loop gets the first one too."""
        each = [records[at : at + size] for at in range(0, len(records), size)]
        shifted = [struct.pack("<I", struct.unpack_from("<I", record)[0] + shift) + record[4:] for record in each]
        return b"".join((*each[:1], *shifted))

    return replace(
        image,
        insns=assembled(LOOP) + image.insns,
        map_references=tuple(replace(place, insn=place.insn + shift) for place in image.map_references),
        func_info=moved(image.func_info, FUNC_INFO_BYTES),
        line_info=moved(image.line_info, LINE_INFO_BYTES),
    )


def loaded_loop(image: Image, spec: ObjectSpec, maps: Mapping[str, Map]) -> Program:
    """The loop around a program, in the kernel."""
    often = called_often(image)
    debug = sys.DebugInfo(often.btf, often.func_info, often.line_info) if often.btf else None
    insns, flags = _with_maps(often, spec, maps), abi.F_XDP_HAS_FRAGS
    result = sys.prog_load(ProgramType.XDP, AttachType.XDP, insns, name="pfq_bench", flags=flags, debug=debug)
    if result.fd is None:
        raise SystemExit(f"the kernel refuses the loop around a program (errno {result.errno}):\n{result.log[-2000:]}")
    return Program("pfq_bench", Hook.XDP, AttachType.XDP, True, result.fd)


def time_ns(loop: Program, frame: bytes, repeat: int) -> float:
    """How long one call takes, in `repeat` runs of the loop."""
    return loop.test_run(frame, repeat=repeat).duration_ns / CALLS


def nothing() -> Program:
    """The loop around a program that does nothing."""
    image = Image(assembled(NOTHING), (), ((0, "nothing"),), b"", b"", b"")
    return loaded_loop(image, ObjectSpec(b"", "nothing", Hook.XDP, ()), {})


@dataclass(frozen=True, slots=True)
class Decision:
    """What a program did with one packet.

    selected  mask of the end-points that get it
    counts    packets that arrived, were dropped, selected somebody or nobody, nobody included in the third
    """

    action: Action
    selected: int
    counts: tuple[int, int, int, int]


class Trial(ABC):
    """A program with maps of its own.

    initial  what the memory of maps holds at the start, from the beginning on; the rest is 0
    """

    def __init__(self, spec: ObjectSpec, initial: Mapping[str, bytes]) -> None:
        with ExitStack() as undo:
            self.spec = spec
            self.maps = {item.name: undo.enter_context(Map.create(item)) for item in spec.maps}
            self.memory = {item.name: self.maps[item.name].mmap(writable=True) for item in spec.maps if item.direct}
            for memory in self.memory.values():
                undo.callback(memory.close)
            self.initial = initial
            self.reset()
            self.program = undo.enter_context(load(spec, self.maps, "pfq_bench"))
            self._undo = undo.pop_all()

    def loop(self) -> Program:
        """The loop around it, which works on the same maps."""
        image = link(self.spec.elf, self.spec.entry)
        return self._undo.enter_context(loaded_loop(image, self.spec, self.maps))

    def reset(self) -> None:
        """Memory as at the start."""
        for name, memory in self.memory.items():
            content = self.initial.get(name, b"")
            memory[:] = content.ljust(len(memory), b"\0")

    @abstractmethod
    def decide(self, frame: bytes, cpu: int) -> Decision:
        """Runs it on a frame; the caller is pinned to the CPU."""

    def close(self) -> None:
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Ours(Trial):
    """A program in pfq-lang, compiled."""

    def __init__(self, source: Source) -> None:
        device = Device(Hook.XDP, (Group(0, source),), cpus=possible_cpus(), rings=RINGS, trial=True)
        self.code = compile_device(device)
        time = bytes(layouts.TRIAL_TIME) + struct.pack("<Q", TIME_NS)
        initial = {
            layouts.of_group(layouts.STEERING_MAP, 0): TABLE.pack(),
            layouts.CONFIG_MAP: time,
            layouts.of_group(layouts.DATA_MAP, 0): self.code.plan.content(),
        }
        super().__init__(self.code.object, initial)

    def decide(self, frame: bytes, cpu: int) -> Decision:
        scratch, counters = self.memory[layouts.SCRATCH_MAP], self.memory[layouts.COUNTERS_MAP]
        start = cpu * layouts.COUNTER_ROW_BYTES
        counters[start : start + layouts.GROUP_COUNTER_BYTES] = bytes(layouts.GROUP_COUNTER_BYTES)
        self.program.test_run(frame)
        record = scratch[cpu * self.code.memory.scratch_stride :][: layouts.FACTS]
        counts = counters[start : start + layouts.GROUP_COUNTER_BYTES]
        user = struct.unpack_from(f"<{COUNTERS}Q", counts, layouts.USER_COUNTERS)
        action = ActionRecord.from_buffer_copy(record[: layouts.RECORD_BYTES])
        (selected,) = struct.unpack_from("<Q", record, layouts.SELECTED)
        kept = layouts.ARRIVED, layouts.DROPPED, layouts.SELECTIONS, layouts.NOBODY
        arrived, dropped, selections, nobody = (struct.unpack_from("<Q", counts, at)[0] for at in kept)
        found = action.action({index: count for index, count in enumerate(user) if count}, self.code.plan)
        return Decision(found, selected, (arrived, dropped, selections, nobody))


class InC(Trial):
    """A program in C: its record is `struct record` of programs/record.h."""

    RECORD = struct.Struct(f"<Q6I6Q{COUNTERS}Q")
    STEERING_BYTES = 16 + layouts.TABLE_ENTRIES

    def __init__(self, program: ObjectSpec, initial: Mapping[str, bytes]) -> None:
        shared = {"steering": TABLE.pack()[: self.STEERING_BYTES], "now_ns": struct.pack("<Q", TIME_NS)}
        super().__init__(program, {**shared, **initial})

    def decide(self, frame: bytes, cpu: int) -> Decision:
        records = self.maps["records"]
        records.update(0, bytes(len(records.lookup(0))))
        self.program.test_run(frame)
        classes, fanout, hash, hash2, mark, state, kernel, selected, *rest = self.RECORD.unpack(
            records.lookup_cpus(0)[cpu]
        )
        (arrived, dropped, selections, nobody), counters = rest[:4], rest[5:]
        used = {index: count for index, count in enumerate(counters) if count}
        action = Action(Fanout(fanout), classes, hash, hash2, bool(kernel), mark, state, used)
        return Decision(action, selected, (arrived, dropped, selections, nobody))
