"""The maps of a device's program: how the generated code finds its way in them.

Memory that is written for every packet is held for each CPU in one large value of an array map
with a single element, whose address is part of the code: no look-up, no lock. The number of CPUs
is rounded up to a power of two, so that a mask is the bounds check.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from llvmlite import ir

from pfq import layout
from pfq.codegen import layouts
from pfq.codegen.data import power_of_two
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I64
from pfq.codegen.spec import MMAPABLE, MapSpec, MapType

DOORBELL_BYTES = 4096
EVENTS_BYTES = 1 << 18
KEY_BYTES = 4
LINE = 64
LONGEST_SNAPLEN = 0xFFFF


@dataclass(frozen=True, slots=True)
class RingShape:
    """What rings have in common.

    slots       packets a ring holds, a power of two
    slot_bytes  one of `layout.SLOT_SIZES`
    snaplen     bytes of a frame that are copied, at most; each end-point says how many it wants
    """

    slots: int
    slot_bytes: int
    snaplen: int

    @property
    def number(self) -> int:
        """What stands for the shape in the table of end-points."""
        return layouts.shape_number(self.slots, self.slot_bytes)

    @property
    def whole(self) -> RingShape:
        """The same shape for end-points that want whatever there is room for."""
        return replace(self, snaplen=min(self.slot_bytes - layout.SLOT_HEADER_BYTES, LONGEST_SNAPLEN))


EGRESS: Final = RingShape(slots=1, slot_bytes=min(layout.SLOT_SIZES), snaplen=1).whole
"""Of egress end-points, whose packets are sent on a device: there is only what counts them. Readers' rings have
more slots."""


@dataclass(frozen=True, slots=True)
class GroupNeeds:
    """What one group has for itself.

    number  of the group
    sets    steering tables, one for each set of classes
    data    bytes that the program keeps from packet to packet
    """

    number: int
    sets: int
    data: int = 0


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Sizes of the maps of one program, and where things lie in them.

    cpus     possible CPUs of the machine
    groups   groups of the program
    shapes   of the rings of end-points
    needs    of the groups, once they are known
    filters  bytes of constants of the filters in front of the groups
    hosts    bytes of the set of the device's own addresses
    events   programs report events to the user
    """

    cpus: int
    groups: int
    shapes: tuple[RingShape, ...]
    needs: tuple[GroupNeeds, ...] = ()
    filters: int = 0
    hosts: int = 0
    events: bool = False

    @property
    def rows(self) -> int:
        """CPUs, rounded up to a power of two."""
        return power_of_two(self.cpus)

    @property
    def scratch_stride(self) -> int:
        return layouts.scratch_bytes(self.groups)

    def scratch(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        return self.row_of(k, layouts.SCRATCH_MAP, cpu, self.scratch_stride)

    def counters(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        """Pointer to the counters of all groups on this CPU."""
        return self.row_of(k, layouts.COUNTERS_MAP, cpu, layouts.COUNTER_ROW_BYTES)

    def endpoint(self, k: KernelCalls, number: ir.Value) -> ir.Value:
        """Pointer to what the engine says of an end-point."""
        known = k.b.and_(k.opaque(k.b.zext(number, I64)), I64(layouts.MAX_ENDPOINTS - 1))
        at = k.b.mul(known, I64(layouts.ENDPOINT_BYTES))
        return k.field(k.field(k.map(layouts.ENGINE_MAP), at), layouts.ENDPOINTS)

    def row(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        """The CPU's number, which the verifier sees to be less than `rows`."""
        return k.b.and_(cpu, I64(self.rows - 1))

    def row_of(self, k: KernelCalls, name: str, cpu: ir.Value, stride: int) -> ir.Value:
        return k.field(k.map(name), k.b.mul(self.row(k, cpu), I64(stride)))

    def maps(self) -> tuple[MapSpec, ...]:
        """All maps that a program may refer to."""
        found = [
            _value(layouts.SCRATCH_MAP, self.rows * self.scratch_stride),
            _value(layouts.COUNTERS_MAP, self.rows * layouts.COUNTER_ROW_BYTES),
            _value(layouts.ENGINE_MAP, layouts.ENGINE_BYTES),
            _value(layouts.CONFIG_MAP, layouts.config_bytes(self.groups)),
            *(rings_spec(shape, self.cpus) for shape in self.shapes),
            consumers_spec(self.cpus),
            DOORBELLS,
        ]
        for group in self.needs:
            found += [
                self.of_group(layouts.STEERING_MAP, group.number, group.sets * layouts.STEERING_BYTES),
                self.of_group(layouts.ROBIN_MAP, group.number, group.sets * self.rows * LINE),
            ]
            if group.data:
                found.append(self.of_group(layouts.DATA_MAP, group.number, group.data))
        for name, size in ((layouts.FILTERS_MAP, self.filters), (layouts.HOSTS_MAP, self.hosts)):
            if size:
                found.append(_value(name, size))
        if self.events:
            found.append(EVENTS)
        return tuple(found)

    @staticmethod
    def of_group(name: str, number: int, size: int) -> MapSpec:
        return replace(_value(layouts.of_group(name, number), size), pooled=True)


@dataclass(frozen=True, slots=True)
class GroupTables:
    """The steering tables of one group, and the turns of round robin."""

    memory: DeviceMemory
    number: int

    @property
    def groups(self) -> int:
        return self.memory.groups

    def tables(self, k: KernelCalls) -> ir.Value:
        """Pointer to the steering tables."""
        return k.map(layouts.of_group(layouts.STEERING_MAP, self.number))

    def turn(self, k: KernelCalls, cpu: ir.Value, number: ir.Value) -> ir.Value:
        """The counter of turns of one steering table on this CPU."""
        row = self.memory.row_of(k, layouts.of_group(layouts.ROBIN_MAP, self.number), cpu, LINE)
        return k.field(row, k.b.mul(number, I64(self.memory.rows * LINE)))


def _value(name: str, size: int) -> MapSpec:
    return MapSpec(name, MapType.ARRAY, KEY_BYTES, size, 1, flags=MMAPABLE, direct=True)


def ring_spec(shape: RingShape) -> MapSpec:
    """The map of one ring: the producer's line, then the slots."""
    return MapSpec("ring", MapType.ARRAY, KEY_BYTES, shape.slot_bytes, shape.slots + 1, flags=MMAPABLE)


def consumer_spec(cpus: int) -> MapSpec:
    """The map that the reader of one end-point writes."""
    return MapSpec("consumer", MapType.ARRAY, KEY_BYTES, layout.CONSUMER_BYTES, cpus, flags=MMAPABLE)


DOORBELL = MapSpec("doorbell", MapType.RINGBUF, 0, 0, DOORBELL_BYTES)
EVENTS = MapSpec(layouts.EVENTS_MAP, MapType.RINGBUF, 0, 0, EVENTS_BYTES)


def rings_spec(shape: RingShape, cpus: int) -> MapSpec:
    """The map of all rings of one shape, by end-point and CPU."""
    name = layouts.of_shape(shape.slots, shape.slot_bytes)
    return _outer(name, layouts.MAX_ENDPOINTS * cpus, ring_spec(shape))


def consumers_spec(cpus: int) -> MapSpec:
    """The map of what readers write, by end-point."""
    return _outer(layouts.CONSUMERS_MAP, layouts.MAX_ENDPOINTS, consumer_spec(cpus))


def _outer(name: str, entries: int, inner: MapSpec) -> MapSpec:
    return MapSpec(name, MapType.ARRAY_OF_MAPS, KEY_BYTES, KEY_BYTES, entries, inner=inner)


DOORBELLS = _outer(layouts.DOORBELLS_MAP, layouts.MAX_ENDPOINTS, DOORBELL)
