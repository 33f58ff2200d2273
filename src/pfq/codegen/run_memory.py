"""What the code of runs works on beside the records: the memory of a group, and a record as a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.columns import RecordWindow, loaded
from pfq.codegen.kernel_calls import HostCalls, KernelCalls
from pfq.codegen.llvm import I32, I64, PTR
from pfq.layout import RECORD

# The memory of a group, from its counters on, as the code finds it.
COPIES: Final = layouts.GROUP_COUNTER_BYTES  # u64[64], packets for each end-point
CLOCK: Final = COPIES + 8 * layouts.MAX_ENDPOINTS  # u64, ns, the time of the last packet that the program knows
INTERFACES: Final = CLOCK + 8  # u64, address of u32 each: number of the device of an interface, 0 for others
INTERFACE_COUNT: Final = INTERFACES + 8  # u64
EVENT_COUNT: Final = INTERFACE_COUNT + 8  # u64, events of the last run
DEVICES: Final = EVENT_COUNT + 8  # u32[MAX_DEVICES], as in the configuration of a device
RUN_EVENTS: Final = DEVICES + 4 * layouts.MAX_DEVICES
RUN_EVENT_INDEX: Final = 0  # u64, of the packet in the run
RUN_EVENT_SITE: Final = 8  # u64
RUN_EVENT_ACTION: Final = 16  # the action so far
RUN_EVENT_BYTES: Final = RUN_EVENT_ACTION + layouts.ACTION_BYTES
EVENTS_ROOM: Final = 256
TURNS: Final = RUN_EVENTS + EVENTS_ROOM * RUN_EVENT_BYTES  # u64 for each steering table, then the tables

NULL: Final = PTR(None)
RECORD_FIELDS: Final = {member.name: member for member in RECORD}


@dataclass(frozen=True, slots=True)
class RunMemory:
    """Where the steering tables of a group lie."""

    base: ir.Value
    sets: int
    groups: int = 1

    @property
    def first_table(self) -> int:
        return TURNS + 8 * self.sets

    @property
    def size(self) -> int:
        """Bytes of the whole memory of a group."""
        return self.first_table + self.sets * layouts.STEERING_BYTES

    def tables(self, k: KernelCalls) -> ir.Value:
        return k.field(self.base, self.first_table)

    def turn(self, k: KernelCalls, cpu: ir.Value, number: ir.Value) -> ir.Value:
        return k.field(self.base, k.b.add(k.b.mul(number, I64(8)), I64(TURNS)))


@dataclass
class RunWindow(RecordWindow):
    """The frame of a record, and the time and the device as the program sees them."""

    memory: ir.Value = NULL

    def length(self, b: ir.IRBuilder) -> ir.Value:
        return loaded(b, self.context, RECORD_FIELDS["len"])

    def now(self, b: ir.IRBuilder) -> ir.Value:
        """Time stands still at a packet that is older than one before it: programs know no time that goes back."""
        k = HostCalls(b)
        before, stamp = k.load(self.memory, CLOCK, I64), loaded(b, self.context, RECORD_FIELDS["ts_ns"])
        now = b.select(b.icmp_unsigned(">", stamp, before), stamp, before)
        k.store(now, self.memory, CLOCK)
        return now

    def ingress(self, b: ir.IRBuilder) -> ir.Value:
        """The number of the device that has the name of the interface, 0 when programs name none like it."""
        k, number = HostCalls(b), loaded(b, self.context, RECORD_FIELDS["interface"])
        start = b.block
        known, done = (b.append_basic_block(f"interface_{name}") for name in ("known", "read"))
        b.cbranch(b.icmp_unsigned("<", number, k.load(self.memory, INTERFACE_COUNT, I64)), known, done)
        b.position_at_end(known)
        table = as_pointer(b, k.load(self.memory, INTERFACES, I64))
        found = b.zext(k.load(k.field(table, b.mul(number, I64(4))), 0, I32), I64)
        b.branch(done)
        b.position_at_end(done)
        result = b.phi(I64)
        result.add_incoming(I64(0), start)
        result.add_incoming(found, known)
        return result


def as_pointer(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """A pointer without element type, like all others here."""
    pointer = b.inttoptr(address, PTR)
    pointer.type = PTR
    return pointer
