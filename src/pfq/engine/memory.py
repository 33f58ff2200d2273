"""The memory that all programs of an engine share, and that outlives each of them.

Rings, the table of end-points, counters and events stay where they are while programs are replaced,
so that whatever did not change goes on untouched.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from pfq.codegen import layouts
from pfq.codegen.device import GroupCode
from pfq.codegen.finish import Clock
from pfq.codegen.memory import DOORBELLS, EVENTS, DeviceMemory, RingShape, consumers_spec, rings_spec
from pfq.codegen.spec import MapSpec
from pfq.engine.events import EventReader, ProgramEvent, Site
from pfq.engine.keeper import Keeper
from pfq.engine.rings import Rings
from pfq.engine.statistics import GroupStatistics
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.pool import Pool

NS_PER_SECOND = 1_000_000_000
CLOCK_READINGS = 5
GENERATIONS = 1 << 16
"""Numbers of programs, which begin anew after the last."""


@dataclass
class MapsLeft:
    """Maps that an engine of another process has left.

    maps        by the names that programs know them by
    shapes      of rings for which there is one
    chunks      of the pool
    generation  the number of its last program
    """

    maps: dict[str, Map] = field(default_factory=dict)
    shapes: Sequence[RingShape] = ()
    chunks: Sequence[Map] = ()
    generation: int = 0


class EngineMemory:
    """Maps of an engine.

    pool  for what groups have for themselves
    """

    def __init__(self, keeper: Keeper, left: MapsLeft | None = None) -> None:
        """keeper: makes the maps; left: those that another process has left, which are used as they are."""
        self.cpus = possible_cpus()
        self.pool = Pool(keeper.create, keeper.drop)
        self._keeper = keeper
        self._left = left or MapsLeft()
        self._lock = threading.Lock()
        self._undo = ExitStack()
        self._rings: dict[int, Map] = {}
        self._shapes: dict[int, RingShape] = {}
        self._reader: EventReader | None = None
        self._generation = self._left.generation
        self._final: dict[str, int] | None = None
        self._rows = DeviceMemory(self.cpus, 1, ()).rows
        self._maps: dict[str, Map] = {}
        try:
            for chunk in self._left.chunks:
                self.pool.adopt(chunk)
            for spec in always_specs(self.cpus):
                self._maps[spec.name] = self._created(spec)
            for shape in self._left.shapes:
                self._rings_of(shape)
            if layouts.EVENTS_MAP in self._left.maps:
                self._events_map()
            self._counters = self._maps[layouts.COUNTERS_MAP].mmap(writable=True)
            self._undo.callback(self._counters.close)
            self._table = self._maps[layouts.ENGINE_MAP].mmap(writable=True)
            self._undo.callback(self._table.close)
            self.set_clock()
        except BaseException:
            self._give_back(keep=left is not None)
            raise

    def _created(self, spec: MapSpec) -> Map:
        return self._left.maps.pop(spec.name, None) or self._keeper.create(spec)

    @property
    def whole(self) -> list[Map]:
        """The maps but those of the pool."""
        return [*self._maps.values(), *self._rings.values()]

    @property
    def ring_shapes(self) -> list[RingShape]:
        """The shapes of rings for which there is a map."""
        return list(self._shapes.values())

    def maps(self, shapes: Sequence[RingShape], events: bool) -> dict[str, Map]:
        """The maps that a program for rings of these shapes needs, by name."""
        found = dict(self._maps)
        for shape in shapes:
            table = self._rings_of(shape)
            found[table.spec.name] = table
        if events:
            found[layouts.EVENTS_MAP] = self._events_map()
        return found

    def _rings_of(self, shape: RingShape) -> Map:
        if shape.number not in self._rings:
            self._rings[shape.number] = self._created(rings_spec(shape, self.cpus))
            self._shapes[shape.number] = shape
        return self._rings[shape.number]

    def _events_map(self) -> Map:
        if self._reader is None:
            table = self._maps[layouts.EVENTS_MAP] = self._created(EVENTS)
            self._reader = EventReader(table)
            self._undo.callback(self._reader.close)
        return self._maps[layouts.EVENTS_MAP]

    # end-points

    def install(self, number: int, rings: Rings, snaplen: int, clock: Clock) -> None:
        """Makes an end-point known to all programs: the table first, then its maps."""
        self._set_clock_of(number, clock)
        self._install(number, rings, snaplen, layouts.CLOCK_NUMBERS[clock.value])

    def install_egress(self, number: int, rings: Rings, queue: int | None) -> None:
        """The same for an egress end-point; `set_egress_device` then says on which device it sends."""
        self._install(number, rings, 0, 0 if queue is None else queue + 1)

    def set_egress_device(self, number: int, index: int) -> None:
        """The device on which an egress end-point sends; 0 when it is not there."""
        at = layouts.ENDPOINTS + number * layouts.ENDPOINT_BYTES + layouts.ENDPOINT_DEVICE
        struct.pack_into("<I", self._table, at, index)

    def _install(self, number: int, rings: Rings, first: int, last: int) -> None:
        at = layouts.ENDPOINTS + number * layouts.ENDPOINT_BYTES
        struct.pack_into("<III", self._table, at, first, rings.shape.number, last)
        table = self._rings_of(rings.shape)
        for cpu, ring in enumerate(rings.rings):
            table.set_inner(number * self.cpus + cpu, ring)
        self._maps[layouts.CONSUMERS_MAP].set_inner(number, rings.consumer)
        self._maps[layouts.DOORBELLS_MAP].set_inner(number, rings.doorbell)

    def remove(self, number: int, rings: Rings) -> None:
        """Takes it out of all maps, when no group selects it any more."""
        for cpu in range(self.cpus):
            self._rings_of(rings.shape).clear(number * self.cpus + cpu)
        self._maps[layouts.CONSUMERS_MAP].clear(number)
        self._maps[layouts.DOORBELLS_MAP].clear(number)
        self._set_clock_of(number, Clock.NONE)

    def forget_all_but(self, known: Mapping[int, Rings]) -> None:
        """Takes end-points out of all maps that a process before was about to make, or to end."""
        wanted: dict[tuple[Map, int], Map] = {}
        for number, rings in known.items():
            table = self._rings_of(rings.shape)
            wanted |= {(table, number * self.cpus + cpu): ring for cpu, ring in enumerate(rings.rings)}
            wanted[self._maps[layouts.CONSUMERS_MAP], number] = rings.consumer
            wanted[self._maps[layouts.DOORBELLS_MAP], number] = rings.doorbell
        for table in (*self._rings.values(), self._maps[layouts.CONSUMERS_MAP], self._maps[layouts.DOORBELLS_MAP]):
            for place in range(table.spec.entries):
                inner, there = wanted.get((table, place)), table.inner_id(place)
                if inner is None and there is not None:
                    table.clear(place)
                elif inner is not None and there != inner.id:
                    table.set_inner(place, inner)
        for number in set(range(layouts.MAX_ENDPOINTS)) - known.keys():
            self._set_clock_of(number, Clock.NONE)

    def _set_clock_of(self, number: int, clock: Clock) -> None:
        with self._lock:
            for each, at in ((Clock.NS, layouts.BY_NS), (Clock.COARSE, layouts.BY_COARSE)):
                (mask,) = struct.unpack_from("<Q", self._table, at)
                mask = mask | 1 << number if clock is each else mask & ~(1 << number)
                struct.pack_into("<Q", self._table, at, mask)

    # groups

    def statistics(self, number: int) -> GroupStatistics:
        """The counters of a group, summed over the CPUs."""
        words = layouts.GROUP_COUNTER_BYTES // 8
        totals = [0] * words
        for row in range(self._rows):
            at = row * layouts.COUNTER_ROW_BYTES + number * layouts.GROUP_COUNTER_BYTES
            for place, value in enumerate(struct.unpack_from(f"<{words}Q", self._counters, at)):
                totals[place] += value
        known = {name: totals[offset // 8] for name, offset in layouts.COUNTER_OFFSETS.items()}
        return GroupStatistics(counters=tuple(totals[layouts.USER_COUNTERS // 8 :]), **known)

    def clear_counters(self, number: int) -> None:
        """Those of a group that no program knows."""
        for row in range(self._rows):
            at = row * layouts.COUNTER_ROW_BYTES + number * layouts.GROUP_COUNTER_BYTES
            self._counters[at : at + layouts.GROUP_COUNTER_BYTES] = bytes(layouts.GROUP_COUNTER_BYTES)

    # events

    def generation(self, groups: Sequence[GroupCode]) -> int:
        """A number for a new program, by which its events are known."""
        self._generation = (self._generation + 1) % GENERATIONS
        self.know_generation(self._generation, groups)
        return self._generation

    @property
    def last_generation(self) -> int:
        return self._generation

    def know_generation(self, number: int, groups: Sequence[GroupCode]) -> None:
        """What a program reports that has, or had, this number."""
        if self._reader is not None:
            self._reader.know(number, [Site(g.number, each) for g in groups for each in g.plan.sites])

    def events(self) -> Iterator[ProgramEvent]:
        """What programs told since the last call."""
        if self._reader is not None and self._final is None:
            yield from self._reader.events(_coarse_offset()[1])

    def events_missed(self) -> int:
        """Events that were not told: over the permitted rate, or without room."""
        if self._final is not None:
            return self._final["missed"]
        held_back, lost = struct.unpack_from("<QQ", self._table, layouts.EVENTS_HELD_BACK)
        return int(held_back + lost)

    # the clock

    def set_clock(self) -> None:
        """Tells programs what to add to the kernel's clocks to get the time of day."""
        for clock, at in ((Clock.NS, layouts.CLOCK_OFFSET), (Clock.COARSE, layouts.COARSE_OFFSET)):
            struct.pack_into("@q", self._table, at, clock_offset(clock))

    def close(self, keep: bool = False) -> None:
        """Gives all back; no program may be attached, unless the maps are to be kept. Again is harmless."""
        if self._final is None:
            self._final = {"missed": self.events_missed()}
            self._give_back(keep)

    def _give_back(self, keep: bool) -> None:
        self._undo.close()
        self.pool.close(keep)
        for table in self.whole:
            if keep:
                table.close()
            else:
                self._keeper.drop(table)


def always_specs(cpus: int) -> list[MapSpec]:
    """The maps that every engine has."""
    specs = {spec.name: spec for spec in DeviceMemory(cpus, 1, ()).maps()}
    return [specs[layouts.COUNTERS_MAP], specs[layouts.ENGINE_MAP], consumers_spec(cpus), DOORBELLS]


def shared_specs(cpus: int, shapes: Sequence[RingShape]) -> list[MapSpec]:
    """All the maps that an engine with rings of these shapes may have, those of its pool not counted."""
    return [*always_specs(cpus), *(rings_spec(shape, cpus) for shape in shapes), EVENTS]


def clock_offset(clock: Clock) -> int:
    """What to add to a program's clock, in ns, to get CLOCK_REALTIME."""
    match clock:
        case Clock.NS:
            # Programs read CLOCK_TAI, which follows every correction of the time of day; the two
            # differ by whole seconds.
            apart = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_TAI)
            return round(apart / NS_PER_SECOND) * NS_PER_SECOND
        case Clock.COARSE:
            # The two are read one after the other, and this thread may lose the CPU in between.
            return min(_coarse_offset() for _ in range(CLOCK_READINGS))[1]
        case Clock.NONE:
            return 0


def _coarse_offset() -> tuple[int, int]:
    """(uncertainty, time of day ahead of the monotonic clock), in ns."""
    before = time.monotonic_ns()
    now = time.time_ns()
    after = time.monotonic_ns()
    return after - before, now - (before + after) // 2
