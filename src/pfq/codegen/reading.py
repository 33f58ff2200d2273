"""What all code that reads a packet needs: reaching bytes, keeping facts, going on or giving up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol as Interface

from llvmlite import ir

from pfq.codegen.facts import Bytes, Fact, Facts, HalfInUse, Layer, Transport
from pfq.codegen.llvm import I1, I8, I64
from pfq.lang.packet import ETHERNET_BYTES, MAX_TAGS, TAG_BYTES, VLAN_TYPES


def swapped(value: int) -> int:
    """A 16-bit number of the wire as it is loaded on a little-endian machine."""
    return int.from_bytes(value.to_bytes(2, "big"), "little")


Reach = Callable[[ir.IRBuilder, ir.Value, int, ir.Block], ir.Value]
"""What `Window.reach` is."""


@dataclass(frozen=True)
class HostReach:
    """Reaches bytes of a frame in this process.

    frame, captured  where it begins, and how many bytes of it there are (i64)
    spare            any eight bytes that can be read
    """

    frame: ir.Value
    captured: ir.Value
    spare: ir.Value

    def __call__(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        inside = b.append_basic_block("inside")
        b.cbranch(self._holds(b, offset, size), inside, fail)
        b.position_at_end(inside)
        return b.gep(self.frame, [offset], source_etype=I8)

    def peek(self, b: ir.IRBuilder, offset: ir.Value, size: int) -> tuple[ir.Value, ir.Value]:
        """Pointer to bytes, without a branch, and whether it is those of the frame (i1): there may be none."""
        there = self._holds(b, offset, size)
        return b.select(there, b.gep(self.frame, [offset], source_etype=I8), self.spare), there

    def _holds(self, b: ir.IRBuilder, offset: ir.Value, size: int) -> ir.Value:
        return b.icmp_unsigned("<=", b.add(offset, I64(size)), self.captured)


class Window(Interface):
    """The first bytes of the frame, where headers are looked for, and what else is known of it."""

    def reach(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        """Pointer to `size` bytes at `offset` (i64); goes to `fail` when they are not there."""

    def wire(self, b: ir.IRBuilder) -> Reach:
        """Brings the frame into reach as it was on the wire, with a tag that the device took off; variable
        offsets must come from `forget`."""

    def beyond(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        """As what `wire` gives, for bytes that do not all lie in the window: an offset (i64) behind the tags."""

    def forget(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """The same value (i64), about which the verifier no longer knows anything."""

    def stripped_tag(self, b: ir.IRBuilder) -> tuple[ir.Value, ir.Value] | None:
        """The tag that the device took off (both i64): control information plus 2**16, 0 for none,
        and EtherType as little endian. None when devices take none off here."""

    def length(self, b: ir.IRBuilder) -> ir.Value:
        """Bytes on the wire (i64)."""

    def ingress(self, b: ir.IRBuilder) -> ir.Value:
        """Number of the receiving device (i64)."""

    def now(self, b: ir.IRBuilder) -> ir.Value:
        """Nanoseconds of the monotonic clock (i64)."""

    def kept(self, b: ir.IRBuilder, half: HalfInUse) -> ir.Value:
        """The u32 in the memory of programs that says which half is in use (i64)."""


class Reading:
    """Emits code that reads a packet into one function.

    open  facts of the code in hand that are not written yet on the way to where it is
    """

    def __init__(self, builder: ir.IRBuilder, facts: Facts, slots: ir.Value, window: Window) -> None:
        self.b = builder
        self.facts = facts
        self.slots = slots
        self.window = window
        self.open: set[Fact] = set()

    def _put(self, fact: Fact, value: ir.Value) -> None:
        if fact in self.facts.slots:
            place = self.b.gep(self.slots, [I64(self.facts.slots[fact] * 8)], source_etype=I8)
            self.b.store(value, place, align=8)
            self.open.discard(fact)

    def _bytes(self, base: ir.Value, offset: int, size: int) -> ir.Value:
        """`size` bytes as a 64-bit number. The alignment is a promise we break: both targets read
        unaligned words, and without it LLVM would read byte by byte."""
        kind = ir.IntType(size * 8)
        loaded = self.b.load(self.b.gep(base, [I64(offset)], source_etype=I8), typ=kind, align=size)
        return loaded if size == 8 else self.b.zext(loaded, I64)

    def _new_block(self, name: str) -> ir.Block:
        return self.b.append_basic_block(name)

    def _continue_if(self, cond: ir.Value, otherwise: ir.Block) -> None:
        go_on = self._new_block("go_on")
        self.b.cbranch(cond, go_on, otherwise)
        self.b.position_at_end(go_on)

    def _is(self, value: ir.Value, number: int) -> ir.Value:
        return self.b.icmp_unsigned("==", value, I64(number))

    def _layer(self, layer: Layer, level: int, offset: ir.Value, proto: ir.Value | None = None) -> None:
        """Sizes and bytes of a layer that may be cut off anywhere, shortest first; `proto` is that of layer 4."""
        parts = self.facts.parts(layer, level)
        facts = {fact for _, some in parts for fact in some}
        self.open |= facts
        done = self._new_block(f"{layer}_read")
        absent = Absent(self, done)
        for size, some in parts:
            base = self.window.reach(self.b, offset, size, absent.block(facts & self.open))
            for fact in some:
                match fact:
                    case Bytes():
                        self._put(fact, self._bytes(base, fact.offset, fact.size))
                    case Transport():
                        assert proto is not None
                        self._put(fact, proto)
                    case _:
                        self._put(fact, I64(1))
        self.b.branch(done)
        absent.emit()
        self.b.position_at_end(done)

    def _is_tag(self, kind: ir.Value) -> ir.Value:
        hit = I1(0)
        for known in VLAN_TYPES:
            hit = self.b.or_(hit, self._is(kind, swapped(known)))
        return hit

    def _ethertype(self, at: ir.Value, tags_seen: ir.Value, done: ir.Block) -> tuple[ir.Value, ir.Value]:
        """EtherType behind the tags of the Ethernet frame at an offset, as loaded, and the offset of what follows."""
        base = self.window.reach(self.b, at, ETHERNET_BYTES, done)
        found = self._new_block("ethertype")
        ethertype, offset = self._bytes(base, ETHERNET_BYTES - 2, 2), ETHERNET_BYTES
        arrivals = []
        for seen in range(MAX_TAGS):
            room = self.b.icmp_unsigned("<", self.b.add(tags_seen, I64(seen)), I64(MAX_TAGS))
            may_follow = self.b.and_(self._is_tag(ethertype), room)
            arrivals.append((ethertype, offset, self.b.block))
            tagged = self._new_block("tagged")
            self.b.cbranch(may_follow, tagged, found)
            self.b.position_at_end(tagged)
            base = self.window.reach(self.b, self.b.add(at, I64(offset)), TAG_BYTES, done)
            ethertype, offset = self._bytes(base, TAG_BYTES - 2, 2), offset + TAG_BYTES
        arrivals.append((ethertype, offset, self.b.block))
        self.b.branch(found)
        self.b.position_at_end(found)
        types, offsets = self.b.phi(I64), self.b.phi(I64)
        for value, behind, block in arrivals:
            types.add_incoming(value, block)
            offsets.add_incoming(I64(behind), block)
        return types, self.b.add(at, offsets)


class Absent:
    """Code that notes facts as absent before it goes on at one place.

    Facts are absent together: what notes few of them is the end of what notes more.
    """

    def __init__(self, reading: Reading, end: ir.Block) -> None:
        self.reading = reading
        self.end = end
        self.blocks: dict[frozenset[Fact], ir.Block] = {}

    def block(self, facts: AbstractSet[Fact]) -> ir.Block:
        """Where to go when just these facts are absent."""
        if not facts:
            return self.end
        key = frozenset(facts)
        if key not in self.blocks:
            self.blocks[key] = self.reading.b.append_basic_block("absent")
        return self.blocks[key]

    def emit(self) -> None:
        """The code of all blocks, once all of them are known."""
        reading, shared = self.reading, Counter(fact for facts in self.blocks for fact in facts)
        order = sorted(shared, key=lambda fact: (shared[fact], reading.facts.slots[fact]))
        for facts, block in self.blocks.items():
            reading.b.position_at_end(block)
            left = set(facts)
            for fact in (fact for fact in order if fact in facts):
                reading._put(fact, I64(0))
                left.remove(fact)
                if frozenset(left) in self.blocks:
                    break
            reading.b.branch(self.block(left))
