"""Groups with filters in all meanings, to compare: reference, native code over runs of records, eBPF in the kernel."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from pfq.codegen import layouts
from pfq.codegen.batch import NativeGroup
from pfq.codegen.device import Device, Group, compile_device
from pfq.codegen.spec import Hook
from pfq.columns.records import RECORD_DTYPE
from pfq.columns.verdicts import VERDICT_DTYPE
from pfq.engine.steering import Member, SteeringTable
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.pool import Part, created
from pfq.kernel.programs import load
from pfq.lang.action import Action, Fanout
from pfq.lang.group import GroupInterpreter, Outcome
from pfq.lang.interp import World
from pfq.lang.packet import Tag
from support.backends import RINGS

MEMBERS = (Member(0), Member(3, weight=2), Member(17, classes=0b101), Member(63, classes=0b110))
FIRST_NS = 1_000_000_000
QTAG = 0x8100


@dataclass(frozen=True, slots=True)
class Sighting:
    """A frame as a record tells of it.

    data  the bytes that are there
    sent  bytes on the wire; None: all are there
    tci   of a tag that the device took off; 0: none
    ts_ns when
    """

    data: bytes
    sent: int | None = None
    tci: int = 0
    ts_ns: int = FIRST_NS

    @property
    def tag(self) -> Tag | None:
        return Tag(QTAG, self.tci) if self.tci else None

    @property
    def length(self) -> int:
        """Bytes on the wire, with the tag."""
        return len(self.data) + 4 * (self.tci != 0) if self.sent is None else self.sent


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a group decided about a packet."""

    outcome: Outcome
    endpoints: frozenset[int] = frozenset()
    mark: int = 0
    state: int = 0
    kernel: bool = False


class Run:
    """Records of sightings, in memory of this object."""

    def __init__(self, seen: Sequence[Sighting]) -> None:
        self.records = np.zeros(len(seen), RECORD_DTYPE)
        self._bytes = np.frombuffer(b"".join(each.data for each in seen) or b"\0", np.uint8)
        sizes = [len(each.data) for each in seen]
        starts = np.concatenate(([0], np.cumsum(sizes)))[:-1] if seen else np.array([], np.uint64)
        self.records["data"] = self._bytes.ctypes.data + starts.astype(np.uint64)
        self.records["caplen"], self.records["link_type"] = sizes, 1
        for name, values in (
            ("len", [each.length for each in seen]),
            ("vlan_tci", [each.tci for each in seen]),
            ("ts_ns", [each.ts_ns for each in seen]),
        ):
            self.records[name] = values

    def __len__(self) -> int:
        return len(self.records)

    def address(self, first: int = 0) -> int:
        return int(self.records.ctypes.data) + first * RECORD_DTYPE.itemsize


def native(group: Group, members: Sequence[Member] = MEMBERS, level: int = 2) -> NativeGroup:
    """A group compiled for this process, with members."""
    made = NativeGroup(group.program, filter=group.filter, vlans=group.vlans, level=level)
    made.set_members([SteeringTable.of(members, classes).pack() for classes in made.sets])
    return made


def verdicts_of(group: NativeGroup, seen: Sequence[Sighting]) -> list[Verdict]:
    """What native code decides; it must decide all of them in one run."""
    run = Run(seen)
    found = np.zeros(len(run), VERDICT_DTYPE)
    assert group.run(run.address(), len(run), found.ctypes.data) == len(run)
    assert not found["reserved"].any()
    return [verdict(row) for row in found]


def verdict(row: Any) -> Verdict:
    mask = int(row["endpoints"])
    endpoints = frozenset(number for number in range(64) if mask >> number & 1)
    kernel = {0: False, 1: True}[int(row["kernel"])]
    return Verdict(Outcome(int(row["outcome"])), endpoints, int(row["mark"]), int(row["state"]), kernel)


class Reference:
    """A group in plain Python, with steering tables and turns."""

    def __init__(self, group: Group, members: Sequence[Member] = MEMBERS) -> None:
        self._interpreter = GroupInterpreter(group.program, group.filters)
        self._members = members
        self._turns: dict[int, Iterator[int]] = {}
        self._now = 0

    def decide(self, seen: Sighting) -> Verdict:
        """Time never goes back."""
        self._now = max(self._now, seen.ts_ns)
        world = World(now_ns=self._now)
        outcome, action = self._interpreter.decide(seen.data, tag=seen.tag, length=seen.sent, world=world)
        if outcome is Outcome.FILTERED:
            return Verdict(outcome)
        return Verdict(outcome, self._endpoints(action), action.mark, action.state, action.kernel)

    def _endpoints(self, action: Action) -> frozenset[int]:
        table = SteeringTable.of(self._members, action.classes)
        turn = next(self._turns.setdefault(action.classes, count())) if action.fanout is Fanout.ROBIN else 0
        return table.select(action, turn)


class KernelGroups:
    """The fused groups of a device, run on single frames without any device."""

    def __init__(self, groups: Sequence[Group], hook: Hook, undo: ExitStack) -> None:
        self.groups = tuple(groups)
        self.hook = hook
        code = compile_device(Device(hook, self.groups, cpus=possible_cpus(), rings=RINGS, trial=True))
        maps = created(code.object.maps, undo)
        self._program = undo.enter_context(load(code.object, maps, "pfq_groups"))
        counters, filters = maps[layouts.COUNTERS_MAP], maps.get(layouts.FILTERS_MAP)
        assert isinstance(counters, Map)
        self._counters = counters.mmap(writable=True)
        undo.callback(self._counters.close)
        if isinstance(filters, Map):
            with filters.mmap(writable=True) as memory:
                memory[: code.filters.size] = code.filters.content()
        for group in code.groups:
            data = maps.get(layouts.of_group(layouts.DATA_MAP, group.number))
            if isinstance(data, Part):
                data.memory[: group.plan.size] = group.plan.content()

    def outcomes(self, frame: bytes) -> list[Outcome]:
        """What becomes of a frame in each group; each has counted it once. Runs on CPU 0."""
        self._counters[: layouts.COUNTER_ROW_BYTES] = bytes(layouts.COUNTER_ROW_BYTES)
        self._program.test_run(frame)
        return [self._outcome(group.number) for group in self.groups]

    def _outcome(self, number: int) -> Outcome:
        words = struct.unpack_from("<4Q", self._counters, number * layouts.GROUP_COUNTER_BYTES)
        arrived, *found = words
        assert (arrived, sorted(found)) == (1, [0, 0, 1]), words
        return Outcome(found.index(1))


@contextmanager
def groups_in_kernel(groups: Sequence[Group], hook: Hook) -> Iterator[KernelGroups]:
    """Groups loaded for the moment, with this thread pinned to CPU 0."""
    before = os.sched_getaffinity(0)
    with ExitStack() as undo:
        os.sched_setaffinity(0, {0})
        undo.callback(os.sched_setaffinity, 0, before)
        yield KernelGroups(groups, hook, undo)


def whole(frames: Iterable[bytes]) -> list[Sighting]:
    """Frames of which all is there."""
    return [Sighting(frame) for frame in frames]
