"""Settling a group: counts its decision and turns its action into a set of end-points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol as Interface

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I8, I32, I64
from pfq.lang.action import Fanout


class SteeringMemory(Interface):
    """Where steering tables lie, for the kernel or for the host."""

    @property
    def groups(self) -> int:
        """Groups that decide about each packet."""

    def tables(self, k: KernelCalls) -> ir.Value:
        """Pointer to the first table."""

    def turn(self, k: KernelCalls, cpu: ir.Value, number: ir.Value) -> ir.Value:
        """Pointer to the counter of turns (u64) of one table on this CPU."""


class Settlement:
    """Emits the code for one group.

    scratch   memory with the action in it, this CPU's
    counters  this group's counters on this CPU
    index     the group's place among the groups of the device
    number    its number
    """

    def __init__(
        self,
        k: KernelCalls,
        memory: SteeringMemory,
        scratch: ir.Value,
        counters: ir.Value,
        cpu: ir.Value,
        index: int,
        number: int = 0,
    ) -> None:
        self.k = k
        self.b = k.b
        self.memory = memory
        self.scratch = scratch
        self.counters = counters
        self.cpu = cpu
        self.index = index
        self.number = number
        self.result = layouts.GROUP_RESULTS + number * layouts.GROUP_RESULT_BYTES

    def emit(
        self,
        dropped: ir.Block,
        filtered: ir.Block | None,
        fanouts: set[Fanout],
        sets: Mapping[int, int],
        passes_up: bool,
        elsewhere: ir.Block | None = None,
    ) -> None:
        """Goes on behind all ways that a packet can take: here when it is kept, at the blocks when it is not.

        dropped    by the program
        filtered   rejected by the group's filters, when it has some
        fanouts    what the program can leave behind
        sets       mask of classes -> steering table
        passes_up  whether it can pass packets up to Linux
        elsewhere  from a queue that the group is not bound to: it never arrived
        """
        k, b = self.k, self.b
        end = b.append_basic_block("settled")
        if fanouts:
            k.barrier()
            k.add(self.counters, layouts.SELECTIONS)
            self._select(fanouts, sets)
        b.branch(end)
        for block, counter in ((dropped, layouts.DROPPED), (filtered, layouts.FILTERED), (elsewhere, None)):
            if block is not None:
                b.position_at_end(block)
                k.barrier()
                if counter is not None:
                    k.add(self.counters, counter)
                self._store_nobody()
                b.branch(end)
        b.position_at_end(end)
        if passes_up:
            self._pass_up()
        k.barrier()

    def _pass_up(self) -> None:
        wanted = self.k.load(self.scratch, layouts.KERNEL, I32)
        before = self.k.load(self.scratch, layouts.PASSED_UP, I32)
        self.k.store(self.b.or_(before, wanted), self.scratch, layouts.PASSED_UP)
        total = self.k.load(self.counters, layouts.TO_LINUX, I64)
        self.k.store(self.b.add(total, self.b.zext(wanted, I64)), self.counters, layouts.TO_LINUX)

    def _select(self, fanouts: set[Fanout], sets: Mapping[int, int]) -> None:
        kind = self.k.load(self.scratch, layouts.FANOUT, I32)
        number = self._table_number(sets)
        table = self.k.field(self.memory.tables(self.k), self.b.mul(number, I64(layouts.STEERING_BYTES)))
        chosen = self.b.append_basic_block("chosen")
        arrivals = []
        cases = sorted(fanouts)
        for case in cases:
            following = None if case == cases[-1] else self.b.append_basic_block("other_fanout")
            if following is not None:
                this = self.b.append_basic_block(case.name.lower())
                self.b.cbranch(self.b.icmp_unsigned("==", kind, I32(case)), this, following)
                self.b.position_at_end(this)
            mask = self._mask(case, table, number)
            arrivals.append((mask, self.b.block))
            self.b.branch(chosen)
            if following is not None:
                self.b.position_at_end(following)
        self.b.position_at_end(chosen)
        selected = self.b.phi(I64)
        for mask, block in arrivals:
            selected.add_incoming(mask, block)
        nobody = self.b.icmp_unsigned("==", selected, I64(0))
        if self.memory.groups == 1:
            with self.b.if_then(nobody, likely=False):
                self.k.add(self.counters, layouts.NOBODY)
            self.k.store(selected, self.scratch, layouts.SELECTED)
            return
        with self.b.if_else(nobody) as (nobody_here, somebody):
            with nobody_here:
                self.k.add(self.counters, layouts.NOBODY)
                self._store_nobody()
            with somebody:
                self._store(selected)

    def _store_nobody(self) -> None:
        """Leaves what groups before have selected."""
        if not self.index:
            self.k.store(I64(0), self.scratch, layouts.SELECTED)
            if self.memory.groups > 1:
                self.k.store(I64(0), self.scratch, layouts.SELECTING)

    def _store(self, selected: ir.Value) -> None:
        """Adds to the end-points that get the packet, and leaves what its copies say of this group."""
        k, b = self.k, self.b
        state, mine = k.load(self.scratch, layouts.STATE, I32), I64(1 << (layouts.MAX_GROUPS - 1 - self.number))
        k.store(selected, self.scratch, self.result)
        k.store(state, self.scratch, self.result + 8)
        # The last group to do so is the highest, and often the only one.
        k.store(selected, self.scratch, layouts.COPY_MASK)
        k.store(state, self.scratch, layouts.COPY_STATE)
        k.store(I32(self.number), self.scratch, layouts.COPY_GROUP)
        for offset, value in ((layouts.SELECTING, mine), (layouts.SELECTED, selected)):
            before = k.load(self.scratch, offset, I64) if self.index else I64(0)
            k.store(b.or_(before, value), self.scratch, offset)

    def _table_number(self, sets: Mapping[int, int]) -> ir.Value:
        """Which steering table belongs to the action's classes."""
        (_, number), *others = sets.items()
        result: ir.Value = I64(number)
        if others:
            classes = self.k.load(self.scratch, layouts.CLASSES, I64)
            for mask, number in others:
                result = self.b.select(self.b.icmp_unsigned("==", classes, I64(mask)), I64(number), result)
        return result

    def _mask(self, case: Fanout, table: ir.Value, number: ir.Value) -> ir.Value:
        k, b = self.k, self.b
        match case:
            case Fanout.COPY:
                return k.load(table, layouts.MEMBERS, I64)
            case Fanout.STEER:
                return self._hashed(table, layouts.HASH)
            case Fanout.DOUBLE:
                return b.or_(self._hashed(table, layouts.HASH), self._hashed(table, layouts.HASH2))
            case Fanout.ROBIN:
                count = k.load(table, layouts.TURNS, I32)
                return self._counted(table, layouts.ORDER, count, self._turn(number))
            case _:
                count = k.load(table, layouts.MEMBER_COUNT, I32)
                return self._counted(table, layouts.IDS, count, b.zext(k.load(self.scratch, layouts.HASH, I32), I64))

    def _hashed(self, table: ir.Value, offset: int) -> ir.Value:
        mixed = mix(self.b, self.k.load(self.scratch, offset, I32))
        entry = self.b.and_(self.b.zext(mixed, I64), I64(layouts.TABLE_ENTRIES - 1))
        return self._bit(self.k.load(self.k.field(table, entry), layouts.HASHED, I8))

    def _counted(self, table: ir.Value, list_offset: int, count: ir.Value, number: ir.Value) -> ir.Value:
        """Entry `number mod count` of a list of end-points; nobody when it is empty."""
        some = self.b.icmp_unsigned("!=", count, I32(0))
        place = self.b.urem(number, self.b.zext(self.b.select(some, count, I32(1)), I64))
        place = self.b.and_(place, I64(self._longest(list_offset) - 1))
        bit = self._bit(self.k.load(self.k.field(table, place), list_offset, I8))
        return self.b.select(some, bit, I64(0))

    @staticmethod
    def _longest(list_offset: int) -> int:
        return layouts.MAX_ENDPOINTS if list_offset == layouts.IDS else layouts.TABLE_ENTRIES

    def _turn(self, number: ir.Value) -> ir.Value:
        place = self.memory.turn(self.k, self.cpu, number)
        turn = self.k.load(place, 0, I64)
        self.k.store(self.b.add(turn, I64(1)), place, 0)
        return turn

    def _bit(self, endpoint: ir.Value) -> ir.Value:
        """The mask of one end-point, empty for `NOBODY_HERE`."""
        known = self.b.icmp_unsigned("<", endpoint, I8(layouts.MAX_ENDPOINTS))
        place = self.b.zext(self.b.and_(endpoint, I8(layouts.MAX_ENDPOINTS - 1)), I64)
        return self.b.select(known, self.b.shl(I64(1), place), I64(0))


def mix(b: ir.IRBuilder, a: ir.Value) -> ir.Value:
    """`pfq.lang.steering.mix` as code (32-bit)."""
    a = b.add(b.xor(a, I32(0xDEADBEEF)), b.shl(a, I32(4)))
    a = b.xor(a, b.lshr(a, I32(10)))
    a = b.add(a, b.shl(a, I32(7)))
    return b.xor(a, b.lshr(a, I32(13)))
