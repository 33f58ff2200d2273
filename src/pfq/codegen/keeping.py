"""What a program keeps from packet to packet, as code: reading and changing it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from llvmlite import ir

from pfq.codegen.arithmetic import Hosts, Surroundings
from pfq.codegen.data import LINE, DataPlan, power_of_two
from pfq.codegen.facts import Facts, HalfInUse
from pfq.codegen.llvm import I1, I64
from pfq.codegen.prefixes import SearchCode, SetRegion
from pfq.codegen.questions import ADDRESS_OFFSETS, Questions
from pfq.lang.prefixset import PrefixSet


@dataclass(frozen=True, slots=True)
class Region:
    """Memory of a program: where it is, and its size, a power of two."""

    base: ir.Value
    size: int


class Keeping(Questions):
    """Emits the use of memory that stays; the plan says where it lies."""

    def __init__(self, builder: ir.IRBuilder, around: Surroundings, facts: Facts, plan: DataPlan) -> None:
        super().__init__(builder, around, facts)
        self.plan = plan

    def constant(self, data: bytes) -> Region:
        return self._region(self.plan.constant(data), power_of_two(len(data)))

    def shared(self, size: int) -> Region:
        return self._region(self.plan.region(power_of_two(size)), power_of_two(size))

    def shared_under(self, key: Hashable, size: int) -> Region:
        return self._region(self.plan.keyed((self.around.place, key), power_of_two(size)), power_of_two(size))

    def per_cpu(self, size: int) -> Region:
        rows = self._field(self.around.data, self.plan.region(LINE * self.plan.rows))
        mine = self.k.field(rows, self.b.mul(self.around.cpu, I64(LINE)))
        return Region(mine, power_of_two(size))

    def _region(self, offset: int, size: int) -> Region:
        return Region(self._field(self.around.data, offset), size)

    def _within(self, memory: Region, offset: ir.Value, size: int) -> ir.Value:
        if isinstance(offset, ir.Constant):
            return self._field(memory.base, offset.constant % memory.size)
        return self.k.field(memory.base, self.b.and_(self.k.opaque(offset), I64(memory.size - size)))

    def read(self, memory: Region, offset: ir.Value, size: int) -> ir.Value:
        value = self.k.load(self._within(memory, offset, size), 0, ir.IntType(size * 8))
        return value if size == 8 else self.b.zext(value, I64)

    def write(self, memory: Region, offset: ir.Value, size: int, value: ir.Value) -> None:
        narrow = value if size == 8 else self.b.trunc(value, ir.IntType(size * 8))
        self.k.store(narrow, self._within(memory, offset, size), 0)

    def add_to(self, memory: Region, offset: ir.Value, step: ir.Value) -> None:
        self.b.atomic_rmw("add", self._within(memory, offset, 8), step, "monotonic")

    def exchange(self, memory: Region, offset: ir.Value, expected: ir.Value, new: ir.Value) -> ir.Value:
        place = self._within(memory, offset, 8)
        return self.b.extract_value(self.b.cmpxchg(place, expected, new, "seq_cst", "seq_cst"), 1)

    def until(self, times: int, body: Callable[[], ir.Value]) -> ir.Value:
        loop, again, end = (self.b.append_basic_block(name) for name in ("until", "again", "until_end"))
        start = self.b.block
        self.b.branch(loop)
        self.b.position_at_end(loop)
        tries = self.b.phi(I64)
        holds, last = body(), self.b.block
        self.b.cbranch(holds, end, again)
        self.b.position_at_end(again)
        following = self.b.add(tries, I64(1))
        tries.add_incoming(I64(0), start)
        tries.add_incoming(following, again)
        self.b.cbranch(self.b.icmp_unsigned("<", following, I64(times)), loop, end)
        self.b.position_at_end(end)
        result = self.b.phi(I1)
        result.add_incoming(I1(1), last)
        result.add_incoming(I1(0), again)
        return result

    def address_in_set(self, side: str, addresses: PrefixSet) -> ir.Value:
        return self._search(side, self.plan.prefixes(addresses), self.around.memory, self.around.data)

    def address_is_ours(self, side: str) -> ir.Value:
        hosts = self.around.hosts or Hosts(self.plan, self.around.memory, self.around.data)
        return self._search(side, hosts.plan.own_addresses(), hosts.memory, hosts.data)

    def _search(self, side: str, region: SetRegion, memory: str, data: ir.Value) -> ir.Value:
        used = self._fact(HalfInUse(region.offset, memory))

        def search() -> SearchCode:
            return SearchCode(self.k, data, region, used)

        def in4() -> ir.Value:
            return search().has4(self.load("ip4", ADDRESS_OFFSETS[4][side], 4))

        def in6() -> ir.Value:
            offset = ADDRESS_OFFSETS[6][side]
            words = self.load("ip6", offset, 8), self.load("ip6", offset + 8, 8)
            return search().has6(*words)

        return self.lazily(self.is_ip(4), in4, lambda: self.lazily(self.is_ip(6), in6, lambda: self.truth(False)))
