"""The code that reads the headers: fills the slots of the facts that a program asked for.

It says the same as `pfq.lang.packet`, once for the kernel and for the host; a `Window` is how a
target reaches bytes. All results pass through memory, so that the verifier, which follows every
path through here, sees one state behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol as Interface

from llvmlite import ir

from pfq.codegen.facts import AddressHash, Fact, Facts, Fragment, Layer, Present, Protocol, Version
from pfq.codegen.llvm import I1, I8, I64
from pfq.lang.packet import (
    AH,
    ETHERNET_BYTES,
    ETHERTYPE_IP4,
    ETHERTYPE_IP6,
    EXTENSIONS,
    FRAGMENT,
    MAX_EXTENSIONS,
    MAX_TAGS,
    TAG_BYTES,
    VLAN_TYPES,
)

IP4_BYTES, IP6_BYTES, EXTENSION_BYTES = 20, 40, 8


def swapped(value: int) -> int:
    """A 16-bit number of the wire as it is loaded on a little-endian machine."""
    return int.from_bytes(value.to_bytes(2, "big"), "little")


class Window(Interface):
    """The first bytes of the frame, where headers are looked for."""

    def reach(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        """Pointer to `size` bytes at `offset` (i64); goes to `fail` when they are not there."""

    def forget(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """The same value (i64), about which the verifier no longer knows anything."""

    def stripped_tags(self, b: ir.IRBuilder) -> ir.Value:
        """How many VLAN tags the device took off the frame (i64, 0 or 1)."""


class HeaderCode:
    """Emits the reading of headers into one function."""

    def __init__(self, builder: ir.IRBuilder, facts: Facts, slots: ir.Value, window: Window) -> None:
        self.b = builder
        self.facts = facts
        self.slots = slots
        self.window = window

    def emit(self) -> None:
        """All of it; code goes on behind, whatever the frame is."""
        for fact in self.facts.slots:
            self._put(fact, I64(0))
        done = self.b.append_basic_block("headers_read")
        self._layer("frame", I64(0))
        if self.facts.need_ip:
            self._network(done)
        self.b.branch(done)
        self.b.position_at_end(done)

    # small pieces

    def _put(self, fact: Fact, value: ir.Value) -> None:
        if fact in self.facts.slots:
            place = self.b.gep(self.slots, [I64(self.facts.slots[fact] * 8)], source_etype=I8)
            self.b.store(value, place, align=8)

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

    def _layer(self, layer: Layer, offset: ir.Value) -> None:
        """Sizes and bytes of a layer that may be cut off anywhere, shortest first."""
        done = self._new_block(f"{layer}_read")
        remaining = self.facts.bytes_of(layer)
        for size in self.facts.sizes_of(layer):
            base = self.window.reach(self.b, offset, size, done)
            self._put(Present(layer, size), I64(1))
            for fact in [f for f in remaining if f.end <= size]:
                remaining.remove(fact)
                self._put(fact, self._bytes(base, fact.offset, fact.size))
        self.b.branch(done)
        self.b.position_at_end(done)

    def _fixed(self, layer: Layer, base: ir.Value) -> None:
        """Bytes of a header that is there as a whole."""
        for fact in self.facts.bytes_of(layer):
            self._put(fact, self._bytes(base, fact.offset, fact.size))

    def _addresses(self, base: ir.Value, offsets: dict[str, int], size: int) -> None:
        for side, offset in offsets.items():
            if AddressHash(side) in self.facts.slots:
                words = [self._bytes(base, offset + at, 4) for at in range(0, size, 4)]
                self._put(AddressHash(side), self._xor(words))

    def _xor(self, words: Sequence[ir.Value]) -> ir.Value:
        result = words[0]
        for word in words[1:]:
            result = self.b.xor(result, word)
        return result

    # layer 3

    def _network(self, done: ir.Block) -> None:
        ethertype, offset = self._ethertype(done)
        ip4, ip6, other = (self._new_block(name) for name in ("ip4", "ip6", "not_ip4"))
        self.b.cbranch(self._is(ethertype, swapped(ETHERTYPE_IP4)), ip4, other)
        self.b.position_at_end(other)
        self.b.cbranch(self._is(ethertype, swapped(ETHERTYPE_IP6)), ip6, done)
        self.b.position_at_end(ip4)
        self._ip4(offset, done)
        self.b.branch(done)
        self.b.position_at_end(ip6)
        self._ip6(offset, done)

    def _ethertype(self, done: ir.Block) -> tuple[ir.Value, ir.Value]:
        """EtherType behind the tags, as loaded, and the offset of what follows."""
        base = self.window.reach(self.b, I64(0), ETHERNET_BYTES, done)
        found = self._new_block("ethertype")
        ethertype, offset = self._bytes(base, ETHERNET_BYTES - 2, 2), ETHERNET_BYTES
        arrivals = []
        for seen in range(MAX_TAGS):
            arrivals.append((ethertype, offset, self.b.block))
            tagged = self._new_block("tagged")
            self.b.cbranch(self._may_have_tag(ethertype, seen), tagged, found)
            self.b.position_at_end(tagged)
            base = self.window.reach(self.b, I64(offset), TAG_BYTES, done)
            ethertype, offset = self._bytes(base, TAG_BYTES - 2, 2), offset + TAG_BYTES
        arrivals.append((ethertype, offset, self.b.block))
        self.b.branch(found)
        self.b.position_at_end(found)
        types, offsets = self.b.phi(I64), self.b.phi(I64)
        for value, at, block in arrivals:
            types.add_incoming(value, block)
            offsets.add_incoming(I64(at), block)
        return types, offsets

    def _may_have_tag(self, ethertype: ir.Value, seen: int) -> ir.Value:
        is_tag = I1(0)
        for kind in VLAN_TYPES:
            is_tag = self.b.or_(is_tag, self._is(ethertype, swapped(kind)))
        room = self.b.icmp_unsigned("<", self.b.add(self.window.stripped_tags(self.b), I64(seen)), I64(MAX_TAGS))
        return self.b.and_(is_tag, room)

    def _ip4(self, offset: ir.Value, done: ir.Block) -> None:
        base = self.window.reach(self.b, offset, IP4_BYTES, done)
        first = self._bytes(base, 0, 1)
        self._continue_if(self._is(self.b.lshr(first, I64(4)), 4), done)
        size = self.b.shl(self.b.and_(first, I64(15)), I64(2))
        self._continue_if(self.b.icmp_unsigned(">=", size, I64(IP4_BYTES)), done)
        l4 = self.b.add(offset, size)
        self.window.reach(self.b, l4, 0, done)
        self._put(Version(), I64(4))
        self._fixed("ip4", base)
        self._addresses(base, {"src": 12, "dst": 16}, 4)
        parts = self._bytes(base, 6, 2)
        some = self.b.and_(parts, I64(swapped(0x3FFF)))
        self._put(Fragment(), self.b.zext(self.b.icmp_unsigned("!=", some, I64(0)), I64))
        self._put(Protocol(), self.b.add(self._bytes(base, 9, 1), I64(1)))
        if self.facts.need_l4:
            later = self.b.and_(parts, I64(swapped(0x1FFF)))
            self._continue_if(self._is(later, 0), done)
            self._layer("l4", l4)

    def _ip6(self, offset: ir.Value, done: ir.Block) -> None:
        base = self.window.reach(self.b, offset, IP6_BYTES, done)
        self._continue_if(self._is(self.b.lshr(self._bytes(base, 0, 1), I64(4)), 6), done)
        self._put(Version(), I64(6))
        self._fixed("ip6", base)
        self._addresses(base, {"src": 8, "dst": 24}, 16)
        if self.facts.need_l4 or self.facts.wanted(Fragment, Protocol):
            l4 = self._extensions(self._bytes(base, 6, 1), self.b.add(offset, I64(IP6_BYTES)), done)
            self._layer("l4", l4)

    def _extensions(self, proto: ir.Value, offset: ir.Value, done: ir.Block) -> ir.Value:
        """Walks the extension headers; goes on at the layer 4 header, whose offset is the result."""
        walk, header, found = (self._new_block(name) for name in ("walk", "extension", "found"))
        start = self.b.block
        self.b.branch(walk)
        self.b.position_at_end(walk)
        protos, offsets, steps = (self.b.phi(I64) for _ in range(3))
        for phi, value in ((protos, proto), (offsets, offset), (steps, I64(0))):
            phi.add_incoming(value, start)
        self.b.cbranch(self._is_extension(protos), header, found)
        self.b.position_at_end(header)
        self._continue_if(self.b.icmp_unsigned("<", steps, I64(MAX_EXTENSIONS)), done)
        base = self.window.reach(self.b, offsets, EXTENSION_BYTES, done)
        following = self._bytes(base, 0, 1)
        self._fragment_header(protos, base, following, done)
        size = self._extension_size(protos, self._bytes(base, 1, 1))
        end = self.b.block
        for phi, value in (
            (protos, following),
            (offsets, self.window.forget(self.b, self.b.add(offsets, size))),
            (steps, self.b.add(steps, I64(1))),
        ):
            phi.add_incoming(value, end)
        self.b.branch(walk)
        self.b.position_at_end(found)
        self._put(Protocol(), self.b.add(protos, I64(1)))
        return offsets

    def _is_extension(self, proto: ir.Value) -> ir.Value:
        hit = I1(0)
        for kind in EXTENSIONS:
            hit = self.b.or_(hit, self._is(proto, kind))
        return hit

    def _fragment_header(self, proto: ir.Value, base: ir.Value, following: ir.Value, done: ir.Block) -> None:
        """Notes a fragment; a later one ends the walk, for it has no layer 4 header."""
        fragment, after = self._new_block("fragment"), self._new_block("not_later")
        self.b.cbranch(self._is(proto, FRAGMENT), fragment, after)
        self.b.position_at_end(fragment)
        parts = self._bytes(base, 2, 2)
        noted = self._new_block("noted")
        is_part = self._new_block("is_part")
        self.b.cbranch(self._is(self.b.and_(parts, I64(swapped(0xFFF9))), 0), noted, is_part)
        self.b.position_at_end(is_part)
        self._put(Fragment(), I64(1))
        self.b.branch(noted)
        self.b.position_at_end(noted)
        later = self._new_block("later")
        self.b.cbranch(self._is(self.b.and_(parts, I64(swapped(0xFFF8))), 0), after, later)
        self.b.position_at_end(later)
        self._put(Protocol(), self.b.add(following, I64(1)))
        self.b.branch(done)
        self.b.position_at_end(after)

    def _extension_size(self, proto: ir.Value, length: ir.Value) -> ir.Value:
        eights = self.b.shl(self.b.add(length, I64(1)), I64(3))
        fours = self.b.shl(self.b.add(length, I64(2)), I64(2))
        other = self.b.select(self._is(proto, AH), fours, eights)
        return self.b.select(self._is(proto, FRAGMENT), I64(EXTENSION_BYTES), other)
