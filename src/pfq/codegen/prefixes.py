"""Sets of prefixes in memory, and the code that searches them: bisection without branches.

    0   u32 which half is in use
    64  half 0, then half 1, each:
            u32 boundaries of IPv4, u32 boundaries of IPv6, up to 64 bytes
            u32[capacity4]                  boundaries of IPv4
            u64[capacity6], u64[capacity6]  upper and lower words of the boundaries of IPv6

A boundary is where the set changes between in and out, so an address is in the set when an odd
number of boundaries is not above it. To change the set, the half that is not in use is written,
then the word that says which one is. The verifier follows one path through a search however large
the set is, because comparisons are made by arithmetic.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from llvmlite import ir

from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I32, I64
from pfq.lang.prefixset import PrefixSet

HEAD: Final = 64
LEAST: Final = 256
"""Boundaries there is room for at least."""


@dataclass(frozen=True, slots=True)
class SetRegion:
    """Where a set lies.

    offset     in the program's data
    capacity4  boundaries of IPv4 there is room for, a power of two
    capacity6  the same for IPv6
    """

    offset: int
    capacity4: int
    capacity6: int

    @classmethod
    def with_room_for(cls, addresses: PrefixSet) -> SetRegion:
        """Twice as much room as it needs now, so that it can change while a program runs."""

        def room(count: int) -> int:
            return max(LEAST, 1 << (2 * count).bit_length())

        return cls(0, room(len(addresses.boundaries4)), room(len(addresses.boundaries6)))

    def moved(self, offset: int) -> SetRegion:
        return replace(self, offset=offset)

    @property
    def half_bytes(self) -> int:
        return HEAD + 4 * self.capacity4 + 16 * self.capacity6

    @property
    def size(self) -> int:
        return HEAD + 2 * self.half_bytes

    def fits(self, addresses: PrefixSet) -> bool:
        return len(addresses.boundaries4) <= self.capacity4 and len(addresses.boundaries6) <= self.capacity6

    def half(self, number: int) -> int:
        """The offset of a half in the program's data."""
        return self.offset + HEAD + number * self.half_bytes

    def pieces(self, addresses: PrefixSet) -> list[tuple[int, bytes]]:
        """(offset in a half, bytes) that make up a set."""
        four, six = addresses.boundaries4, addresses.boundaries6
        upper = HEAD + 4 * self.capacity4
        return [
            (0, struct.pack("<II", len(four), len(six))),
            (HEAD, struct.pack(f"<{len(four)}I", *four)),
            (upper, struct.pack(f"<{len(six)}Q", *(number >> 64 for number in six))),
            (upper + 8 * self.capacity6, struct.pack(f"<{len(six)}Q", *(number & (1 << 64) - 1 for number in six))),
        ]

    def packed(self, addresses: PrefixSet) -> bytes:
        """The region with the set in half 0, up to where half 0 ends."""
        memory = bytearray(HEAD + self.half_bytes)
        for at, piece in self.pieces(addresses):
            memory[HEAD + at : HEAD + at + len(piece)] = piece
        return bytes(memory)


class SearchCode:
    """Emits searches of one set."""

    def __init__(self, k: KernelCalls, data: ir.Value, region: SetRegion) -> None:
        self.k = k
        self.b = k.b
        self.region = region
        base = k.field(data, region.offset)
        used = self.b.zext(self.b.and_(k.load(base, 0, I32), I32(1)), I64)
        self.half = k.field(k.field(base, HEAD), self.b.mul(k.opaque(used), I64(region.half_bytes)))

    def has4(self, address: ir.Value) -> ir.Value:
        """Whether an IPv4 address (i64) is in the set."""

        def above(at: ir.Value) -> ir.Value:
            boundary = self.b.zext(self.k.load(self.k.field(self.half, self.b.shl(at, I64(2))), HEAD, I32), I64)
            return self._sign(self.b.sub(address, boundary))

        return self._odd(self._count(self.k.load(self.half, 0, I32), self.region.capacity4, above))

    def has6(self, upper: ir.Value, lower: ir.Value) -> ir.Value:
        """Whether an IPv6 address is in the set."""
        start = HEAD + 4 * self.region.capacity4

        def above(at: ir.Value) -> ir.Value:
            place = self.k.field(self.half, self.b.shl(at, I64(3)))
            high = self.k.load(place, start, I64)
            low = self.k.load(place, start + 8 * self.region.capacity6, I64)
            less = self.b.and_(self._equal(upper, high), self._less(lower, low))
            return self.b.or_(self._less(upper, high), less)

        return self._odd(self._count(self.k.load(self.half, 4, I32), self.region.capacity6, above))

    def _count(self, boundaries: ir.Value, capacity: int, above: object) -> ir.Value:
        """How many boundaries are not above the address."""
        assert callable(above)
        limit = self.b.zext(boundaries, I64)
        loop, end = (self.b.append_basic_block(name) for name in ("bisect", "bisected"))
        start = self.b.block
        self.b.branch(loop)
        self.b.position_at_end(loop)
        count, step = self.b.phi(I64), self.b.phi(I64)
        tried = self.b.add(count, step)
        beyond = self._sign(self.b.sub(limit, tried))
        index = self.b.and_(self.k.opaque(self.b.sub(tried, I64(1))), I64(capacity - 1))
        stay = self.b.or_(beyond, above(index))
        taken = self.b.add(count, self.b.and_(step, self.b.sub(stay, I64(1))))
        next_step = self.b.lshr(step, I64(1))
        for phi, first, following in ((count, I64(0), taken), (step, I64(capacity), next_step)):
            phi.add_incoming(first, start)
            phi.add_incoming(following, self.b.block)
        self.b.cbranch(self.b.icmp_unsigned("!=", next_step, I64(0)), loop, end)
        self.b.position_at_end(end)
        return taken

    def _odd(self, count: ir.Value) -> ir.Value:
        return self.b.icmp_unsigned("!=", self.b.and_(count, I64(1)), I64(0))

    def _sign(self, difference: ir.Value) -> ir.Value:
        """1 when a difference is negative. Opaque, for LLVM would make comparisons and branches of it."""
        return self.k.opaque(self.b.lshr(self.k.opaque(difference), I64(63)))

    def _less(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """1 when a < b, unsigned 64-bit: the borrow of their difference."""
        not_a = self.b.not_(a)
        borrow = self.b.and_(self.b.or_(not_a, b), self.b.sub(a, b))
        return self._sign(self.b.or_(self.b.and_(not_a, b), borrow))

    def _equal(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """1 when a == b."""
        apart = self.b.xor(a, b)
        return self.b.xor(self._sign(self.b.or_(apart, self.b.neg(apart))), I64(1))
