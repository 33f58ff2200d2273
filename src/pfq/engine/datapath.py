"""The data path of one device: its maps, its program on each hook, and the counters it keeps."""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from pfq.codegen import layouts
from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode, compile_device
from pfq.codegen.finish import Clock
from pfq.codegen.memory import DeviceMemory
from pfq.codegen.prefixes import SetRegion
from pfq.codegen.spec import Hook
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import EventReader, ProgramEvent
from pfq.engine.hooks import Way
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member, SteeringTable
from pfq.errors import KernelRefusedError, LimitError, PfqError, UsageError
from pfq.kernel.attach import Attachment
from pfq.kernel.maps import Map
from pfq.kernel.programs import Program, load, wait_for_running_programs
from pfq.lang.prefixset import PrefixSet

PROGRAM_NAME = "pfq"
NS_PER_SECOND = 1_000_000_000
CLOCK_READINGS = 5
KEPT_CODES = 32


class DataPath:
    """Loaded programs of one device, with the maps they share.

    The programs of the incoming and the outgoing side have the same groups and the same maps: on
    one CPU only one of them runs at a time, so a ring still has one producer.
    """

    def __init__(self, spec: DeviceSpec, endpoints: Sequence[Endpoint]) -> None:
        self._spec = spec
        self._undo = ExitStack()
        self._writing = threading.Lock()
        self._programs: dict[tuple[Way, bool], Program] = {}
        self._attachments: list[Attachment] = []
        self._final: tuple[GroupStatistics, ...] | None = None
        try:
            code = self._code(spec.hook, spec.linear)
            self.memory: DeviceMemory = code.memory
            self._sets = code.sets
            self._tables = [SteeringTable.of([], wanted.classes) for wanted in code.sets]
            self._maps = {m.name: self._undo.enter_context(Map.create(m)) for m in code.object.maps}
            self._counters = self._mapped(layouts.COUNTERS_MAP, writable=False)
            self._config = self._mapped(layouts.CONFIG_MAP, writable=True)
            self._steering = self._mapped(layouts.STEERING_MAP, writable=True)
            self.plan = code.plan
            self._data = self._filled_data()
            self._events = self._event_reader()
            for endpoint in endpoints:
                endpoint.install(self._maps)
            self.set_clock()
        except PfqError:
            self._undo.close()
            raise

    def _mapped(self, name: str, writable: bool) -> mmap.mmap:
        memory = self._maps[name].mmap(writable=writable)
        self._undo.callback(memory.close)
        return memory

    def _filled_data(self) -> mmap.mmap | None:
        if layouts.DATA_MAP not in self._maps:
            return None
        memory = self._mapped(layouts.DATA_MAP, writable=True)
        for offset, piece in self.plan.initial.items():
            memory[offset : offset + len(piece)] = piece
        return memory

    def _event_reader(self) -> EventReader | None:
        if layouts.EVENTS_MAP not in self._maps:
            return None
        reader = EventReader(self._maps[layouts.EVENTS_MAP], self.plan.sites)
        self._undo.callback(reader.close)
        return reader

    def _code(self, hook: Hook, linear: bool) -> DeviceCode:
        return code_of(replace(self._spec, hook=hook, linear=linear))

    def set_members(self, group: int, members: Sequence[Member]) -> None:
        """Who is in a group: its steering tables follow, and nothing else changes."""
        for number, wanted in enumerate(self._sets):
            if wanted.group == group:
                self._tables[number] = self._tables[number].with_members(members)
                at = number * layouts.STEERING_BYTES
                self._steering[at : at + layouts.STEERING_BYTES] = self._tables[number].pack()

    def set_device(self, name: str, ifindex: int) -> None:
        """Tells the program the number of a device that it forwards to; 0 when it is not there."""
        at = layouts.DEVICES + 4 * self.plan.devices.index(name)
        struct.pack_into("<I", self._config, at, ifindex)

    def set_hosts(self, hosts: Iterable[IPv4Address | IPv6Address]) -> None:
        """Tells the program the addresses of the receiving device."""
        region = self.plan.hosts
        if region is None:
            return
        found = set_of(map(str, hosts))
        if not region.fits(found):
            raise LimitError(
                "the device has too many addresses for `is_ip_host`: there is room for "
                f"{region.capacity4 // 2:,} of IPv4 that lie apart and {region.capacity6 // 2:,} of IPv6",
                hint="list them in a file, and ask with `addr_in`",
            )
        self._write_set(region, found)

    def replace_set(self, name: str, addresses: PrefixSet) -> None:
        """Changes a set of prefixes; a packet meets the old set or the new one, never a mixture."""
        regions = [region for known, region in self.plan.sets.items() if known.name == name]
        if not regions:
            known = ", ".join(f"`{each.name}`" for each in self.plan.sets) or "none"
            raise UsageError(f"the program has no set of prefixes `{name}`", hint=f"it has: {known}")
        for region in regions:
            self._write_set(region, addresses)

    def replace_region(self, known: PrefixSet, addresses: PrefixSet) -> None:
        """Changes one of the plan's sets."""
        self._write_set(self.plan.sets[known], addresses)

    def _write_set(self, region: SetRegion, addresses: PrefixSet) -> None:
        if not region.fits(addresses):
            raise LimitError(
                f"the new set of prefixes is too large: there is room for {region.capacity4:,} boundaries of ranges "
                f"of IPv4 and {region.capacity6:,} of IPv6",
                hint="start the program with a larger set: room is made for twice what it has then",
            )
        assert self._data is not None
        with self._writing:
            (used,) = struct.unpack_from("<I", self._data, region.offset)
            start = region.half(1 - used)
            for at, piece in region.pieces(addresses):
                self._data[start + at : start + at + len(piece)] = piece
            struct.pack_into("<I", self._data, region.offset, 1 - used)
            wait_for_running_programs()

    def events(self) -> Iterator[ProgramEvent]:
        """What programs told since the last call."""
        if self._events is not None and self._final is None:
            yield from self._events.events(_coarse_offset()[1])

    def events_missed(self) -> int:
        """Events that were not told: over the permitted rate, or without room."""
        if self._final is not None:
            return self._events_missed
        held_back, lost = struct.unpack_from("<QQ", self._config, layouts.EVENTS_HELD_BACK)
        return int(held_back + lost)

    def attach(self, ways: Iterable[Way], ifindex: int) -> Way:
        """Attaches by the first way that the device can do, and says which."""
        refusal: KernelRefusedError | None = None
        for way, linear in self._tries(ways):
            try:
                self._attachments.append(way.attach(self.program(way, linear), ifindex))
            except KernelRefusedError as error:
                refusal = refusal or (None if linear else error)
            else:
                return way
        assert refusal is not None, "at least one way is tried"
        raise refusal

    def _tries(self, ways: Iterable[Way]) -> Iterator[tuple[Way, bool]]:
        """Each way with `linear`; XDP for one buffer is refused when the device's peer has a large MTU."""
        for way in ways:
            if self._spec.linear and way.hook is Hook.XDP:
                yield way, True
            yield way, False

    def program(self, way: Way, linear: bool) -> Program:
        """The program for one way, loaded when it is first asked for."""
        if (way, linear) not in self._programs:
            program = load(self._code(way.hook, linear).object, self._maps, PROGRAM_NAME, tcx=way.tcx)
            self._programs[way, linear] = self._undo.enter_context(program)
        return self._programs[way, linear]

    def set_clock(self) -> None:
        """Tells the program what to add to the kernel's clock to get the time of day."""
        offset = clock_offset(self._spec.clock)
        struct.pack_into("<q", self._config, layouts.CLOCK_OFFSET, offset)

    def statistics(self) -> tuple[GroupStatistics, ...]:
        """The counters of all groups, summed over the CPUs."""
        if self._final is not None:
            return self._final
        return tuple(self._group(index) for index in range(len(self._spec.groups)))

    def _group(self, index: int) -> GroupStatistics:
        words = layouts.GROUP_COUNTER_BYTES // 8
        totals = [0] * words
        for row in range(self.memory.rows):
            at = row * self.memory.counters_stride + index * layouts.GROUP_COUNTER_BYTES
            for place, value in enumerate(struct.unpack_from(f"<{words}Q", self._counters, at)):
                totals[place] += value
        known = {name: totals[offset // 8] for name, offset in layouts.COUNTER_OFFSETS.items()}
        return GroupStatistics(counters=tuple(totals[layouts.USER_COUNTERS // 8 :]), **known)

    def detach(self) -> None:
        """Takes the programs off the device; afterwards the counters are final. Again is harmless."""
        if self._attachments:
            while self._attachments:
                self._attachments.pop().detach()
            wait_for_running_programs()

    def close(self) -> None:
        """Detaches and gives all memory back; the counters stay readable."""
        if self._final is None:
            self.detach()
            self._events_missed = self.events_missed()
            self._final = self.statistics()
            self._undo.close()


def set_of(prefixes: object) -> PrefixSet:
    """The set of prefixes, texts or networks of `ipaddress`; that of a running program may be empty."""
    if isinstance(prefixes, str) or not isinstance(prefixes, Iterable):
        raise UsageError(f"a set of prefixes is a list, not {prefixes!r}", hint='for example ["10.0.0.0/8"]')
    words = [str(prefix) for prefix in prefixes]
    return PrefixSet.of(words) if words else PrefixSet("")


def code_of(spec: DeviceSpec) -> DeviceCode:
    """The program of a device; `linear` matters at XDP only."""
    return compiled(replace(spec, linear=spec.linear and spec.hook is Hook.XDP))


@lru_cache(maxsize=KEPT_CODES)
def compiled(spec: DeviceSpec) -> DeviceCode:
    """The program of a device. Compiling takes tens of milliseconds, so captures that are alike share it."""
    return compile_device(spec)


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
