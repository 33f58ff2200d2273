"""The maps of a device's program: how the generated code finds its way in them.

Memory that is written for every packet is held for each CPU in one large value of an array map
with a single element, whose address is part of the code: no look-up, no lock. The number of CPUs
is rounded up to a power of two, so that a mask is the bounds check.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class RingShape:
    """What all rings of a device have in common.

    slots       packets a ring holds, a power of two
    slot_bytes  one of `layout.SLOT_SIZES`
    snaplen     bytes of a frame that are copied, at most
    """

    slots: int
    slot_bytes: int
    snaplen: int


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Sizes of the maps of one program.

    cpus    possible CPUs of the machine
    groups  groups of the program
    sets    steering tables, one for each (group, set of classes)
    data    bytes that programs keep from packet to packet
    events  programs report events to the user
    """

    cpus: int
    groups: int
    sets: int
    rings: RingShape
    data: int = 0
    events: bool = False

    @property
    def rows(self) -> int:
        """CPUs, rounded up to a power of two."""
        return power_of_two(self.cpus)

    @property
    def scratch_stride(self) -> int:
        return layouts.scratch_bytes(self.groups)

    @property
    def counters_stride(self) -> int:
        return self.groups * layouts.GROUP_COUNTER_BYTES

    def scratch(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        return self._row(k, layouts.SCRATCH_MAP, cpu, self.scratch_stride)

    def counters(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        return self._row(k, layouts.COUNTERS_MAP, cpu, self.counters_stride)

    def tables(self, k: KernelCalls) -> ir.Value:
        """Pointer to the steering tables."""
        return k.map(layouts.STEERING_MAP)

    def turn(self, k: KernelCalls, cpu: ir.Value, number: ir.Value) -> ir.Value:
        """The counter of turns of one steering table on this CPU."""
        return k.field(self._row(k, layouts.ROBIN_MAP, cpu, LINE), k.b.mul(number, I64(self.rows * LINE)))

    def row(self, k: KernelCalls, cpu: ir.Value) -> ir.Value:
        """The CPU's number, which the verifier sees to be less than `rows`."""
        return k.b.and_(cpu, I64(self.rows - 1))

    def _row(self, k: KernelCalls, name: str, cpu: ir.Value, stride: int) -> ir.Value:
        return k.field(k.map(name), k.b.mul(self.row(k, cpu), I64(stride)))

    def maps(self) -> tuple[MapSpec, ...]:
        """All maps that a program may refer to."""
        found = [
            self._value(layouts.SCRATCH_MAP, self.rows * self.scratch_stride),
            self._value(layouts.COUNTERS_MAP, self.rows * self.counters_stride),
            self._value(layouts.ROBIN_MAP, self.sets * self.rows * LINE),
            self._value(layouts.STEERING_MAP, self.sets * layouts.STEERING_BYTES),
            self._value(layouts.CONFIG_MAP, layouts.CONFIG_BYTES),
            _outer(layouts.RINGS_MAP, layouts.MAX_ENDPOINTS * self.cpus, ring_spec(self.rings)),
            _outer(layouts.CONSUMERS_MAP, layouts.MAX_ENDPOINTS, consumer_spec(self.cpus)),
            _outer(layouts.DOORBELLS_MAP, layouts.MAX_ENDPOINTS, DOORBELL),
        ]
        if self.data:
            found.append(self._value(layouts.DATA_MAP, self.data))
        if self.events:
            found.append(MapSpec(layouts.EVENTS_MAP, MapType.RINGBUF, 0, 0, EVENTS_BYTES))
        return tuple(found)

    def _value(self, name: str, size: int) -> MapSpec:
        return MapSpec(name, MapType.ARRAY, KEY_BYTES, size, 1, flags=MMAPABLE, direct=True)


def ring_spec(shape: RingShape) -> MapSpec:
    """The map of one ring: the producer's line, then the slots."""
    return MapSpec("ring", MapType.ARRAY, KEY_BYTES, shape.slot_bytes, shape.slots + 1, flags=MMAPABLE)


def consumer_spec(cpus: int) -> MapSpec:
    """The map that the reader of one end-point writes."""
    return MapSpec("consumer", MapType.ARRAY, KEY_BYTES, layout.CONSUMER_BYTES, cpus, flags=MMAPABLE)


DOORBELL = MapSpec("doorbell", MapType.RINGBUF, 0, 0, DOORBELL_BYTES)


def _outer(name: str, entries: int, inner: MapSpec) -> MapSpec:
    return MapSpec(name, MapType.ARRAY_OF_MAPS, KEY_BYTES, KEY_BYTES, entries, inner=inner)
