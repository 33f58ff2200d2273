"""Sets of prefixes in memory, and the code that searches them: bisection without branches.

    0   u32 which half is in use
    64  half 0, then half 1, each:
            u32 boundaries of IPv6, u32 first step of a search for IPv4, u32 for IPv6, up to 64 bytes
            u32[4097], up to 64 bytes       for each value of an IPv4 address's first 12 bits, and one more,
                                            how many boundaries are below it
            u32[capacity4]                  boundaries of IPv4
            u64[capacity6], u64[capacity6]  upper and lower words of the boundaries of IPv6

A boundary is where the set changes between in and out, so an address is in the set when an odd
number of boundaries is not above it. To change the set, the half that is not in use is written,
then the word that says which one is. The verifier follows one path through a search however large
the set is, because comparisons are made by arithmetic.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from llvmlite import ir

from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I32, I64
from pfq.lang.prefixset import PrefixSet

HEAD: Final = 64
LEAST: Final = 256
"""Boundaries there is room for at least."""
INDEX_BITS: Final = 12
INDEX_SHIFT: Final = 32 - INDEX_BITS
INDEX_BYTES: Final = ((1 << INDEX_BITS) + 1) * 4 + 60
BOUNDARIES6, FIRST_STEP4, FIRST_STEP6 = 0, 4, 8
"""Offsets in the first line of a half."""
MAX_STEPS: Final = 22
"""Of a search: enough for 2 million boundaries, which a million prefixes have."""


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
        return self.upper6 + 16 * self.capacity6

    @property
    def boundaries4(self) -> int:
        """Where the boundaries of IPv4 begin in a half."""
        return HEAD + INDEX_BYTES

    @property
    def upper6(self) -> int:
        """Where the upper words of the boundaries of IPv6 begin in a half."""
        return self.boundaries4 + 4 * self.capacity4

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
        index = [bisect_left(four, first << INDEX_SHIFT) for first in range((1 << INDEX_BITS) + 1)]
        longest = max(after - before for before, after in pairwise(index))
        return [
            (0, struct.pack("<III", len(six), _first_step(longest), _first_step(len(six)))),
            (HEAD, struct.pack(f"<{len(index)}I", *index)),
            (self.boundaries4, struct.pack(f"<{len(four)}I", *four)),
            (self.upper6, struct.pack(f"<{len(six)}Q", *(number >> 64 for number in six))),
            (
                self.upper6 + 8 * self.capacity6,
                struct.pack(f"<{len(six)}Q", *(number & (1 << 64) - 1 for number in six)),
            ),
        ]

    def boundaries_in(self, memory: memoryview) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The boundaries of IPv4 and IPv6 that are in the program's data."""
        (used,) = struct.unpack_from("<I", memory, self.offset)
        half = self.half(used & 1)
        (count6,) = struct.unpack_from("<I", memory, half + BOUNDARIES6)
        (count4,) = struct.unpack_from("<I", memory, half + HEAD + 4 * (1 << INDEX_BITS))
        four = struct.unpack_from(f"<{min(count4, self.capacity4)}I", memory, half + self.boundaries4)
        count6 = min(count6, self.capacity6)
        upper = struct.unpack_from(f"<{count6}Q", memory, half + self.upper6)
        lower = struct.unpack_from(f"<{count6}Q", memory, half + self.upper6 + 8 * self.capacity6)
        return four, tuple(high << 64 | low for high, low in zip(upper, lower, strict=True))

    def packed(self, addresses: PrefixSet) -> bytes:
        """The region with the set in half 0, up to where half 0 ends."""
        memory = bytearray(HEAD + self.half_bytes)
        for at, piece in self.pieces(addresses):
            memory[HEAD + at : HEAD + at + len(piece)] = piece
        return bytes(memory)


def _first_step(boundaries: int) -> int:
    """The largest power of two that is not more."""
    return 1 << boundaries.bit_length() - 1 if boundaries else 0


class SearchCode:
    """Emits searches of one set; used is the half in use (i64)."""

    def __init__(self, k: KernelCalls, data: ir.Value, region: SetRegion, used: ir.Value) -> None:
        self.k = k
        self.b = k.b
        self.region = region
        base = k.field(data, region.offset)
        half = self.b.and_(k.opaque(used), I64(1))
        self.half = k.field(k.field(base, HEAD), self.b.mul(half, I64(region.half_bytes)))

    def has4(self, address: ir.Value) -> ir.Value:
        """Whether an IPv4 address (i64) is in the set."""

        def above(at: ir.Value) -> ir.Value:
            place = self.k.field(self.half, self.b.shl(at, I64(2)))
            boundary = self.b.zext(self.k.load(place, self.region.boundaries4, I32), I64)
            return self._sign(self.b.sub(address, boundary))

        first = self.b.and_(self.k.opaque(self.b.lshr(address, I64(INDEX_SHIFT))), I64((1 << INDEX_BITS) - 1))
        place = self.k.field(self.half, self.b.shl(first, I64(2)))
        below, limit = (self.b.zext(self.k.load(place, HEAD + at, I32), I64) for at in (0, 4))
        return self._odd(self._count(below, limit, FIRST_STEP4, self.region.capacity4, above))

    def has6(self, upper: ir.Value, lower: ir.Value) -> ir.Value:
        """Whether an IPv6 address is in the set."""

        def above(at: ir.Value) -> ir.Value:
            place = self.k.field(self.half, self.b.shl(at, I64(3)))
            high = self.k.load(place, self.region.upper6, I64)
            low = self.k.load(place, self.region.upper6 + 8 * self.region.capacity6, I64)
            less = self.b.and_(self._equal(upper, high), self._less(lower, low))
            return self.b.or_(self._less(upper, high), less)

        limit = self.b.zext(self.k.load(self.half, BOUNDARIES6, I32), I64)
        return self._odd(self._count(I64(0), limit, FIRST_STEP6, self.region.capacity6, above))

    def _count(
        self,
        below: ir.Value,
        limit: ir.Value,
        first_step: int,
        capacity: int,
        above: Callable[[ir.Value], ir.Value],
    ) -> ir.Value:
        """How many boundaries are not above the address: `below` at least, `limit` at most."""
        first = self.b.zext(self.k.load(self.half, first_step, I32), I64)
        loop, end = (self.b.append_basic_block(name) for name in ("bisect", "bisected"))
        start = self.b.block
        self.b.branch(loop)
        self.b.position_at_end(loop)
        count, step, turn = (self.b.phi(I64) for _ in range(3))
        tried = self.b.add(count, step)
        beyond = self._sign(self.b.sub(limit, tried))
        index = self.b.and_(self.k.opaque(self.b.sub(tried, I64(1))), I64(capacity - 1))
        stay = self.b.or_(beyond, above(index))
        taken = self.b.add(count, self.b.and_(step, self.b.sub(stay, I64(1))))
        next_step, next_turn = self.b.lshr(step, I64(1)), self.b.add(turn, I64(1))
        for phi, before, following in (
            (count, below, taken),
            (step, first, next_step),
            (turn, I64(0), next_turn),
        ):
            phi.add_incoming(before, start)
            phi.add_incoming(following, self.b.block)
        # The turns are for the verifier, which does not know the step.
        more = self.b.icmp_unsigned("!=", next_step, I64(0))
        self.b.cbranch(self.b.and_(more, self.b.icmp_unsigned("<", next_turn, I64(MAX_STEPS))), loop, end)
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
