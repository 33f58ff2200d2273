"""What happens to a packet once all groups have decided: copies for end-points, copies for other devices."""

from __future__ import annotations

from collections.abc import Sequence
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
CLOCK_OFFSETS = {Clock.NS: layouts.CLOCK_OFFSET, Clock.COARSE: layouts.COARSE_OFFSET}
CLOCK_MASKS = {Clock.NS: layouts.BY_NS, Clock.COARSE: layouts.BY_COARSE}


def delivery(place: int) -> str:
    """The function that copies into rings of the shape at a place among those of the device."""
    return f"{DELIVER}{place or ''}"


class Finish:
    """Emits what follows the groups.

    scratch  this CPU's scratch memory, with what the groups left
    """

    def __init__(self, code: HookCode, memory: DeviceMemory, scratch: ir.Value, clocks: Sequence[Clock]) -> None:
        self.code = code
        self.b = code.b
        self.k = code.k
        self.memory = memory
        self.scratch = scratch
        self.clocks = clocks

    def deliver(self) -> None:
        """Copies it into a ring of each end-point that groups selected."""
        b, k = self.b, self.k
        selected = k.load(self.scratch, layouts.SELECTED, I64)
        done = b.append_basic_block("delivered")
        none = b.icmp_unsigned("==", selected, I64(0))
        go_on = b.append_basic_block("some_endpoint")
        b.cbranch(none, done, go_on)
        b.position_at_end(go_on)
        self._take_time(selected)
        if self.memory.groups > 1:
            one, several = (b.append_basic_block(name) for name in ("one_group", "several_groups"))
            of_highest = k.load(self.scratch, layouts.COPY_MASK, I64)
            b.cbranch(b.icmp_unsigned("==", of_highest, selected), one, several)
            b.position_at_end(several)
            self._by_group(selected, done)
            b.position_at_end(one)
        self._one_by_one(selected, done)
        b.position_at_end(done)

    def _one_by_one(self, selected: ir.Value, done: ir.Block) -> None:
        b = self.b
        start, each = b.block, b.append_basic_block("each_endpoint")
        b.branch(each)
        b.position_at_end(each)
        left, count = b.phi(I64), b.phi(I32)
        rest, below = self._lowest(left)
        self._copy(b.trunc(below, I32))
        next_count = b.add(count, I32(1))
        for phi, first, following in ((left, selected, rest), (count, I32(0), next_count)):
            phi.add_incoming(first, start)
            phi.add_incoming(following, b.block)
        # The count is for the verifier, which must see that this ends.
        more = b.and_(b.icmp_unsigned("!=", rest, I64(0)), b.icmp_unsigned("<", next_count, I32(layouts.MAX_ENDPOINTS)))
        b.cbranch(more, each, done)

    def _by_group(self, selected: ir.Value, done: ir.Block) -> None:
        """Group after group, the highest first: its end-points that no higher group has selected.

        One loop, in which each turn takes up another group or copies for one end-point.
        """
        b, k = self.b, self.k
        groups = k.load(self.scratch, layouts.SELECTING, I64)
        start = b.block
        turn, take, copy, latch = (b.append_basic_block(f"turn{name}") for name in ("", "_group", "_endpoint", "_end"))
        b.branch(turn)
        b.position_at_end(turn)
        mine, left, waiting, count = b.phi(I64), b.phi(I64), b.phi(I64), b.phi(I32)
        b.cbranch(b.icmp_unsigned("==", mine, I64(0)), take, copy)
        b.position_at_end(take)
        others, below = self._lowest(waiting)
        number = b.and_(k.opaque(b.sub(I64(layouts.MAX_GROUPS - 1), below)), I64(layouts.MAX_GROUPS - 1))
        result = k.field(self.scratch, b.mul(number, I64(layouts.GROUP_RESULT_BYTES)))
        its = b.and_(k.load(result, layouts.GROUP_RESULTS, I64), left)
        k.store(k.load(result, layouts.GROUP_RESULTS + 8, I32), self.scratch, layouts.COPY_STATE)
        k.store(b.trunc(number, I32), self.scratch, layouts.COPY_GROUP)
        not_taken = b.xor(left, its)
        b.branch(latch)
        b.position_at_end(copy)
        rest, below = self._lowest(mine)
        self._copy(b.trunc(below, I32))
        copied = b.block
        b.branch(latch)
        b.position_at_end(latch)
        after = [b.phi(I64) for _ in range(3)]
        for phi, taken, gone in zip(after, (its, not_taken, others), (rest, left, waiting), strict=True):
            phi.add_incoming(taken, take)
            phi.add_incoming(gone, copied)
        next_count = b.add(count, I32(1))
        for phi, first, following in zip(
            (mine, left, waiting, count), (I64(0), selected, groups, I32(0)), (*after, next_count), strict=True
        ):
            phi.add_incoming(first, start)
            phi.add_incoming(following, latch)
        some = b.icmp_unsigned("!=", b.or_(after[0], after[1]), I64(0))
        limit = self.memory.groups + layouts.MAX_ENDPOINTS
        b.cbranch(b.and_(some, b.icmp_unsigned("<", next_count, I32(limit))), turn, done)

    def _lowest(self, mask: ir.Value) -> tuple[ir.Value, ir.Value]:
        """A mask without its lowest bit, and the number of that: the count of the bits below it.

        LLVM would see through it and count the trailing zeros with a table in a section of its own, which a program
        cannot have.
        """
        rest = self.b.and_(mask, self.b.sub(mask, I64(1)))
        return rest, self.b.ctpop(self.k.opaque(self.b.sub(self.b.xor(mask, rest), I64(1))))

    def _copy(self, endpoint: ir.Value) -> None:
        """Calls the delivery for the shape of the end-point's rings."""
        b, k = self.b, self.k
        functions = [b.module.get_global(delivery(place)) for place in range(len(self.memory.shapes))]
        if len(functions) == 1:
            b.call(functions[0], [self.code.ctx, endpoint])
            return
        mine = k.load(self.memory.endpoint(k, endpoint), layouts.ENDPOINT_SHAPE, I32)
        done = b.append_basic_block("copied")
        for shape, function in zip(self.memory.shapes, functions, strict=True):
            this, other = (b.append_basic_block(name) for name in ("this_shape", "other_shape"))
            b.cbranch(b.icmp_unsigned("==", mine, I32(shape.number)), this, other)
            b.position_at_end(this)
            b.call(function, [self.code.ctx, endpoint])
            b.branch(done)
            b.position_at_end(other)
        b.branch(done)
        b.position_at_end(done)

    def forward(self, groups: Sequence[int]) -> None:
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
        group = self._known(b.zext(b.lshr(entry, I16(8)), I64), groups)
        number = b.and_(b.zext(entry, I64), I64(layouts.MAX_DEVICES - 1))
        place = b.add(b.mul(group, I64(layouts.MAX_DEVICES)), number) if len(groups) > 1 else number
        devices = k.field(k.map(layouts.CONFIG_MAP), layouts.DEVICES)
        index = k.load(k.field(devices, b.shl(place, I64(2))), 0, I32)
        refused = k.call(Helper.CLONE_REDIRECT, self.code.ctx, index, I64(0))
        self._count_forward(group, refused, groups)
        following = b.add(turn, I32(1))
        turn.add_incoming(I32(0), start)
        turn.add_incoming(following, b.block)
        b.branch(each)
        b.position_at_end(done)

    def _known(self, group: ir.Value, groups: Sequence[int]) -> ir.Value:
        """The place of a group, which the verifier sees to be one of them."""
        last = len(groups) - 1
        known = self.b.icmp_unsigned("<=", group, I64(last))
        return self.k.opaque(self.b.select(known, group, I64(last))) if last else I64(0)

    def _count_forward(self, group: ir.Value, refused: ir.Value, groups: Sequence[int]) -> None:
        """Counts for the group that wanted it; the CPU's row is found anew, which costs less than to keep it."""
        b, k = self.b, self.k
        mine = self.memory.counters(k, k.cpu())
        number: ir.Value = I64(groups[0])
        for place, found in enumerate(groups[1:], 1):
            number = b.select(b.icmp_unsigned("==", group, I64(place)), I64(found), number)
        at = b.mul(b.and_(number, I64(layouts.MAX_GROUPS - 1)), I64(layouts.GROUP_COUNTER_BYTES))
        counters = k.field(mine, k.opaque(at) if len(groups) > 1 else at)
        k.add(counters, layouts.FORWARDED)
        with b.if_then(b.icmp_unsigned("!=", refused, I64(0)), likely=False):
            k.add(counters, layouts.UNSENT)

    def _take_time(self, selected: ir.Value) -> None:
        """Reads each clock once that one of the end-points has."""
        k, b = self.k, self.b
        if len(self.clocks) == 1:
            (clock,) = self.clocks
            k.store(I64(0) if clock is Clock.NONE else self._now(clock), self.scratch, layouts.TIME)
            return
        for clock in self.clocks:
            if clock is not Clock.NONE:
                those = k.load(k.map(layouts.ENGINE_MAP), CLOCK_MASKS[clock], I64)
                with b.if_then(b.icmp_unsigned("!=", b.and_(selected, those), I64(0))):
                    at = layouts.TIMES + 8 * layouts.CLOCK_NUMBERS[clock.value]
                    k.store(self._now(clock), self.scratch, at)

    def _now(self, clock: Clock) -> ir.Value:
        now = self.k.call(CLOCK_HELPERS[clock])
        return self.b.add(now, self.k.load(self.k.map(layouts.ENGINE_MAP), CLOCK_OFFSETS[clock], I64))
