"""The code that reads the headers: fills the slots of the facts that a program asked for.

It says the same as `pfq.lang.packet`, once for the kernel and for the host; a `Window` is how a
target reaches bytes. All results pass through memory, so that the verifier, which follows every
path through here, sees one state behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from pfq.codegen.facts import AddressHash, EtherType, Fragment, L3Offset, L4Offset, Layer, Protocol, Version
from pfq.codegen.frame import FLAG16, FrameCode
from pfq.codegen.llvm import I1, I64
from pfq.codegen.reading import Absent, Reading, swapped
from pfq.codegen.tunnels import TunnelCode
from pfq.lang.packet import AH, ETHERTYPE_IP4, ETHERTYPE_IP6, EXTENSIONS, FRAGMENT, MAX_EXTENSIONS
from pfq.lang.tunnels import ETHERTYPE_ETHERNET

IP4_BYTES, IP6_BYTES, EXTENSION_BYTES = 20, 40, 8


class HeaderCode(Reading):
    """Emits the reading of all headers."""

    def emit(self) -> None:
        """All of it; code goes on behind, whatever the frame is."""
        FrameCode(self.b, self.facts, self.slots, self.window).emit()
        if self.facts.need_network:
            done = self._new_block("headers_read")
            self.absent = Absent(self, done)
            self.open = set(self.facts.of_network())
            self._network()
            self.b.branch(self._give_up())
            self.absent.emit()
            self.b.position_at_end(done)

    def _give_up(self) -> ir.Block:
        """Where to go when nothing more can be read."""
        return self.absent.block(self.open)

    def _fixed(self, layer: Layer, level: int, base: ir.Value) -> None:
        """Bytes of a header that is there as a whole."""
        for fact in self.facts.bytes_of(layer, level):
            self._put(fact, self._bytes(base, fact.offset, fact.size))

    def _addresses(self, level: int, base: ir.Value, offsets: dict[str, int], size: int) -> None:
        for side, offset in offsets.items():
            if AddressHash(side, level) in self.facts.slots:
                words = [self._bytes(base, offset + at, 4) for at in range(0, size, 4)]
                self._put(AddressHash(side, level), self._xor(words))

    def _xor(self, words: Sequence[ir.Value]) -> ir.Value:
        result = words[0]
        for word in words[1:]:
            result = self.b.xor(result, word)
        return result

    def _network(self) -> None:
        tag = self.window.stripped_tag(self.b)
        seen = I64(0) if tag is None else self.b.zext(self.b.icmp_unsigned("!=", tag[0], I64(0)), I64)
        ethertype, offset = self._ethertype(I64(0), seen, self._give_up())
        self._put(EtherType(), self.b.or_(ethertype, I64(FLAG16)))
        if self.facts.levels:
            self._level(0, ethertype, offset)

    def _level(self, level: int, ethertype: ir.Value, offset: ir.Value) -> None:
        """The packet of an EtherType at an offset, and what is inside when that matters."""
        ip4, ip6, other = (self._new_block(name) for name in ("ip4", "ip6", "not_ip4"))
        self.b.cbranch(self._is(ethertype, swapped(ETHERTYPE_IP4)), ip4, other)
        self.b.position_at_end(other)
        self.b.cbranch(self._is(ethertype, swapped(ETHERTYPE_IP6)), ip6, self._give_up())
        arrivals = []
        behind, before, of_level = self._new_block("level_read"), self.open, set(self.facts.of_level(level))
        for block, read in ((ip4, self._ip4), (ip6, self._ip6)):
            self.b.position_at_end(block)
            self.open = set(before)
            found = read(level, offset)
            for fact in sorted(self.open & of_level, key=self.facts.slots.__getitem__):
                self._put(fact, I64(0))
            arrivals.append((*found, self.b.block))
            self.b.branch(behind)
        self.b.position_at_end(behind)
        if self.facts.levels == level + 1:
            return
        protos, offsets = self.b.phi(I64), self.b.phi(I64)
        for proto, l4, block in arrivals:
            protos.add_incoming(proto, block)
            offsets.add_incoming(l4, block)
        tunnels = TunnelCode(self.b, self.facts, self.slots, self.window)
        kind, inner = tunnels.emit(protos, self.window.forget(self.b, offsets), self._give_up())
        kind, inner = self._inside_ethernet(kind, inner)
        self._level(level + 1, kind, inner)

    def _inside_ethernet(self, kind: ir.Value, offset: ir.Value) -> tuple[ir.Value, ir.Value]:
        """EtherType and offset of the packet, when what a tunnel carries is a whole frame."""
        frame, packet = self._new_block("inner_frame"), self._new_block("inner_packet")
        before = self.b.block
        self.b.cbranch(self._is(kind, swapped(ETHERTYPE_ETHERNET)), frame, packet)
        self.b.position_at_end(frame)
        ethertype, behind = self._ethertype(offset, I64(0), self._give_up())
        after = self.b.block
        self.b.branch(packet)
        self.b.position_at_end(packet)
        types, offsets = self.b.phi(I64), self.b.phi(I64)
        for value, at, block in ((kind, offset, before), (ethertype, behind, after)):
            types.add_incoming(value, block)
            offsets.add_incoming(at, block)
        return types, self.window.forget(self.b, offsets)

    def _ip4(self, level: int, offset: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Goes on behind a header whose layer 4 is of interest: its protocol and the offset of that."""
        done = self._give_up()
        base = self.window.reach(self.b, offset, IP4_BYTES, done)
        first = self._bytes(base, 0, 1)
        self._continue_if(self._is(self.b.lshr(first, I64(4)), 4), done)
        size = self.b.shl(self.b.and_(first, I64(15)), I64(2))
        self._continue_if(self.b.icmp_unsigned(">=", size, I64(IP4_BYTES)), done)
        l4 = self.b.add(offset, size)
        self.window.reach(self.b, l4, 0, done)
        self._put(Version(level), I64(4))
        self._put(L3Offset(level), offset)
        self._fixed("ip4", level, base)
        self._addresses(level, base, {"src": 12, "dst": 16}, 4)
        parts = self._bytes(base, 6, 2)
        begins = self._is(self.b.and_(parts, I64(swapped(0x1FFF))), 0)
        self._put(Fragment(level), self.b.and_(parts, I64(swapped(0x3FFF))))
        proto = self._bytes(base, 9, 1)
        self._put(Protocol(level), self.b.add(proto, I64(1)))
        if self.facts.need_l4(level):
            self._continue_if(begins, self._give_up())
            self._put(L4Offset(level), size)
            self._layer("l4", level, l4, proto)
        return proto, l4

    def _ip6(self, level: int, offset: ir.Value) -> tuple[ir.Value, ir.Value]:
        """As `_ip4`."""
        done = self._give_up()
        base = self.window.reach(self.b, offset, IP6_BYTES, done)
        self._continue_if(self._is(self.b.lshr(self._bytes(base, 0, 1), I64(4)), 6), done)
        self._put(Version(level), I64(6))
        self._put(L3Offset(level), offset)
        self._fixed("ip6", level, base)
        self._addresses(level, base, {"src": 8, "dst": 24}, 16)
        proto, l4 = self._bytes(base, 6, 1), self.b.add(offset, I64(IP6_BYTES))
        if self.facts.need_l4(level) or {Fragment(level), Protocol(level)} & self.facts.slots.keys():
            self._put(Fragment(level), I64(0))
            proto, l4 = self._extensions(level, proto, l4)
            self._put(L4Offset(level), self.b.sub(l4, offset))
            self._layer("l4", level, l4, proto)
        return proto, l4

    def _extensions(self, level: int, proto: ir.Value, offset: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Walks the extension headers; goes on at the layer 4 header: its protocol and its offset."""
        done = self._give_up()
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
        self._fragment_header(level, protos, base, following)
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
        self._put(Protocol(level), self.b.add(protos, I64(1)))
        return protos, offsets

    def _is_extension(self, proto: ir.Value) -> ir.Value:
        hit = I1(0)
        for kind in EXTENSIONS:
            hit = self.b.or_(hit, self._is(proto, kind))
        return hit

    def _fragment_header(self, level: int, proto: ir.Value, base: ir.Value, following: ir.Value) -> None:
        """Notes a fragment; a later one ends the walk, for it has no layer 4 header."""
        fragment, after = self._new_block("fragment"), self._new_block("not_later")
        self.b.cbranch(self._is(proto, FRAGMENT), fragment, after)
        self.b.position_at_end(fragment)
        parts = self._bytes(base, 2, 2)
        noted = self._new_block("noted")
        is_part = self._new_block("is_part")
        self.b.cbranch(self._is(self.b.and_(parts, I64(swapped(0xFFF9))), 0), noted, is_part)
        self.b.position_at_end(is_part)
        self._put(Fragment(level), parts)
        self.b.branch(noted)
        self.b.position_at_end(noted)
        later = self._new_block("later")
        self.b.cbranch(self._is(self.b.and_(parts, I64(swapped(0xFFF8))), 0), after, later)
        self.b.position_at_end(later)
        before = set(self.open)
        self._put(Protocol(level), self.b.add(following, I64(1)))
        self.b.branch(self._give_up())
        self.open = before
        self.b.position_at_end(after)

    def _extension_size(self, proto: ir.Value, length: ir.Value) -> ir.Value:
        eights = self.b.shl(self.b.add(length, I64(1)), I64(3))
        fours = self.b.shl(self.b.add(length, I64(2)), I64(2))
        other = self.b.select(self._is(proto, AH), fours, eights)
        return self.b.select(self._is(proto, FRAGMENT), I64(EXTENSION_BYTES), other)
