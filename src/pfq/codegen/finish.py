"""What happens to a packet once all groups have decided: copies for end-points, copies for other devices."""

from __future__ import annotations

from enum import Enum

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.hooks import HookCode
from pfq.codegen.kernel_calls import Helper
from pfq.codegen.llvm import I16, I32, I64
from pfq.codegen.memory import DeviceMemory
from pfq.lang.action import MAX_FORWARDS

DELIVER = "deliver"


class Clock(Enum):
    """Where time stamps come from."""

    NS = "ns"
    """the kernel's clock, to the nanosecond: the largest single cost of a packet"""
    COARSE = "coarse"
    """the kernel's clock at its last tick, 1 to 10 ms old"""
    NONE = "none"
    """time stamps are 0"""


CLOCK_HELPERS = {Clock.NS: Helper.KTIME_GET_TAI_NS, Clock.COARSE: Helper.KTIME_GET_COARSE_NS}


class Finish:
    """Emits what follows the groups.

    scratch  this CPU's scratch memory, with what the groups left
    """

    def __init__(self, code: HookCode, memory: DeviceMemory, scratch: ir.Value, clock: Clock) -> None:
        self.code = code
        self.b = code.b
        self.k = code.k
        self.memory = memory
        self.scratch = scratch
        self.clock = clock

    def deliver(self) -> None:
        """Copies it into a ring of each end-point that groups selected."""
        b, k = self.b, self.k
        selected = k.load(self.scratch, layouts.SELECTED, I64)
        start = b.block
        each, done = (b.append_basic_block(name) for name in ("each_endpoint", "delivered"))
        none = b.icmp_unsigned("==", selected, I64(0))
        go_on = b.append_basic_block("some_endpoint")
        b.cbranch(none, done, go_on)
        b.position_at_end(go_on)
        self._take_time()
        start = b.block
        b.branch(each)
        b.position_at_end(each)
        left, count = b.phi(I64), b.phi(I32)
        rest = b.and_(left, b.sub(left, I64(1)))
        # Its number is the count of the bits below it. LLVM would see through that and count the
        # trailing zeros with a table in a section of its own, which a program cannot have.
        below = k.opaque(b.sub(b.xor(left, rest), I64(1)))
        endpoint = b.trunc(b.ctpop(below), I32)
        b.call(self.b.module.get_global(DELIVER), [self.code.ctx, endpoint])
        next_count = b.add(count, I32(1))
        for phi, first, following in ((left, selected, rest), (count, I32(0), next_count)):
            phi.add_incoming(first, start)
            phi.add_incoming(following, each)
        # The count is for the verifier, which must see that this ends.
        more = b.and_(b.icmp_unsigned("!=", rest, I64(0)), b.icmp_unsigned("<", next_count, I32(layouts.MAX_ENDPOINTS)))
        b.cbranch(more, each, done)
        b.position_at_end(done)

    def forward(self, groups: int) -> None:
        """Sends the packet on each device that programs listed."""
        b, k = self.b, self.k
        count = k.load(self.scratch, layouts.FORWARD_COUNT, I32)
        start = b.block
        each, send, done = (b.append_basic_block(name) for name in ("each_forward", "send", "forwarded"))
        b.branch(each)
        b.position_at_end(each)
        turn = b.phi(I32)
        some = b.and_(b.icmp_unsigned("<", turn, count), b.icmp_unsigned("<", turn, I32(MAX_FORWARDS)))
        b.cbranch(some, send, done)
        b.position_at_end(send)
        # Not by the phi: LLVM would walk a pointer instead of a number, which the verifier cannot bound.
        place = b.and_(k.opaque(b.zext(turn, I64)), I64(MAX_FORWARDS - 1))
        entry = k.load(k.field(self.scratch, b.shl(place, I64(1))), layouts.FORWARDS, I16)
        number = b.and_(b.zext(entry, I64), I64(layouts.MAX_DEVICES - 1))
        devices = k.field(k.map(layouts.CONFIG_MAP), layouts.DEVICES)
        index = k.load(k.field(devices, b.shl(number, I64(2))), 0, I32)
        refused = k.call(Helper.CLONE_REDIRECT, self.code.ctx, index, I64(0))
        self._count_forward(b.lshr(entry, I16(8)), refused, groups)
        following = b.add(turn, I32(1))
        turn.add_incoming(I32(0), start)
        turn.add_incoming(following, b.block)
        b.branch(each)
        b.position_at_end(done)

    def _count_forward(self, group: ir.Value, refused: ir.Value, groups: int) -> None:
        """Counts for the group that wanted it; the CPU's row is found anew, which costs less than to keep it."""
        b, k = self.b, self.k
        mine = self.memory.counters(k, k.cpu())
        last = groups - 1
        known = b.icmp_unsigned("<=", group, I16(last))
        at = b.mul(b.zext(b.select(known, group, I16(last)), I64), I64(layouts.GROUP_COUNTER_BYTES))
        counters = k.field(mine, k.opaque(at) if last else I64(0))
        k.add(counters, layouts.FORWARDED)
        with b.if_then(b.icmp_unsigned("!=", refused, I64(0)), likely=False):
            k.add(counters, layouts.UNSENT)

    def _take_time(self) -> None:
        k = self.k
        if self.clock is Clock.NONE:
            k.store(I64(0), self.scratch, layouts.TIME)
            return
        now = k.call(CLOCK_HELPERS[self.clock])
        offset = k.load(k.map(layouts.CONFIG_MAP), layouts.CLOCK_OFFSET, I64)
        k.store(k.b.add(now, offset), self.scratch, layouts.TIME)
