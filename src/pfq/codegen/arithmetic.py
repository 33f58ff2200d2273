"""What every part of the emitter builds on: its surroundings, numbers and truths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.data import DataPlan
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I1, I8, I32, I64


@dataclass(frozen=True, slots=True)
class Hosts:
    """The receiving device's own addresses in memory of their own: its plan, its name, a pointer to it."""

    plan: DataPlan
    memory: str
    data: ir.Value


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the code of a program works on.

    record    pointer to the action (`layouts`, from CLASSES on)
    slots     pointer to the fact slots
    counters  pointer to the group's 64 user counters
    data      pointer to the memory that stays
    devices   pointer to the numbers of the devices that programs forward to
    cpu       number of this CPU (i64), less than the rows of the data plan
    place     the group's place among the groups of the device
    tell      emits the sending of an event to the user, by its number; None: nobody listens
    memory    what the memory that stays is called, where there are several
    hosts     the set of the device's own addresses, where that is not in the memory that stays
    calls     what is asked of the machine, and what LLVM may know of values
    """

    record: ir.Value
    slots: ir.Value
    counters: ir.Value
    data: ir.Value
    devices: ir.Value
    cpu: ir.Value
    place: int = 0
    tell: Callable[[ir.IRBuilder, int], None] | None = None
    calls: type[KernelCalls] = KernelCalls
    memory: str = ""
    hosts: Hosts | None = None


class Arithmetic:
    """Emits calculations, and access to the record of the action."""

    def __init__(self, builder: ir.IRBuilder, around: Surroundings) -> None:
        self.b = builder
        self.k = around.calls(builder)
        self.around = around
        self.record = around.record

    def _field(self, base: ir.Value, offset: int) -> ir.Value:
        return self.b.gep(base, [I64(offset)], source_etype=I8)

    def _store(self, offset: int, value: ir.Value, kind: ir.IntType = I32) -> None:
        number = value if value.type == kind else self.b.trunc(value, kind)
        self.b.store(number, self._field(self.record, offset), align=kind.width // 8)

    def _load(self, offset: int, kind: ir.IntType = I32) -> ir.Value:
        return self.b.load(self._field(self.record, offset), typ=kind, align=kind.width // 8)

    def number(self, value: int) -> ir.Value:
        return I64(value)

    def truth(self, value: bool) -> ir.Value:
        return I1(int(value))

    def both(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.and_(a, b)

    def either(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.or_(a, b)

    def negated(self, a: ir.Value) -> ir.Value:
        return self.b.xor(a, I1(1))

    def differ(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.xor(a, b)

    def compare(self, operator: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.icmp_unsigned(operator, a, b)

    def select(self, cond: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.select(cond, a, b)

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.add(a, b)

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.sub(a, b)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.mul(a, b)

    def xor(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.xor(a, b)

    def or_bits(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.or_(a, b)

    def shl(self, a: ir.Value, bits: int) -> ir.Value:
        return self.b.shl(a, I64(bits))

    def shr(self, a: ir.Value, bits: int) -> ir.Value:
        return self.b.lshr(a, I64(bits))

    def shr_by(self, a: ir.Value, bits: ir.Value) -> ir.Value:
        return self.b.lshr(a, self.b.and_(bits, I64(63)))

    def swapped(self, a: ir.Value, size: int) -> ir.Value:
        if size == 1:
            return a
        kind = ir.IntType(size * 8)
        return self.b.zext(self.b.bswap(self.b.trunc(a, kind)), I64) if size < 8 else self.b.bswap(a)

    def forget(self, a: ir.Value) -> ir.Value:
        self._store(layouts.SPARE, a, I64)
        self.k.barrier()
        return self._load(layouts.SPARE, I64)

    def bits(self, a: ir.Value, mask: ir.Value) -> ir.Value:
        return self.b.and_(a, mask)

    def lazily(self, cond: ir.Value, then: Callable[[], ir.Value], other: Callable[[], ir.Value]) -> ir.Value:
        yes, no, end = (self.b.append_basic_block(name) for name in ("then", "other", "end"))
        self.jump(cond, yes, no)
        arrivals = []
        for block, value in ((yes, then), (no, other)):
            self.b.position_at_end(block)
            arrivals.append((value(), self.b.block))
            self.b.branch(end)
        self.b.position_at_end(end)
        result = self.b.phi(I1)
        for value, block in arrivals:
            result.add_incoming(value, block)
        return result

    def jump(self, cond: ir.Value, yes: ir.Block, no: ir.Block) -> None:
        """Goes to one of the blocks, by a comparison and a jump for each part of the condition.

        The processor has no truth values: to combine them costs more than to jump.
        """
        match getattr(cond, "opname", None):
            case "and":
                following = self.b.append_basic_block("and")
                self.jump(cond.operands[0], following, no)
                self.b.position_at_end(following)
                self.jump(cond.operands[1], yes, no)
            case "or":
                following = self.b.append_basic_block("or")
                self.jump(cond.operands[0], yes, following)
                self.b.position_at_end(following)
                self.jump(cond.operands[1], yes, no)
            case "xor" if isinstance(cond.operands[1], ir.Constant):
                self.jump(cond.operands[0], no, yes)
            case _:
                self.b.cbranch(cond, yes, no)
