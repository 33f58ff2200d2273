"""The code that reads what is outside of packets: the frame's Ethernet header, tags, and fields at fixed places."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from pfq.codegen.berkeley import BerkeleyCode
from pfq.codegen.facts import Ingress, Length, Now, TagControl, TagType, Wire
from pfq.codegen.llvm import I64
from pfq.codegen.reading import Reading
from pfq.lang.packet import ETHERNET_BYTES, HEADER_WINDOW, MACS_BYTES, TAG_BYTES

FLAG16, FLAG32 = 1 << 16, 1 << 32
"""Added to a 16-bit or 32-bit fact that is there, so that 0 can say that it is not."""


class FrameCode(Reading):
    """Emits the reading of the frame."""

    def emit(self) -> None:
        """All that is wanted of the frame itself and was not read early."""
        self._about_the_frame()
        self._layer("frame", 0, I64(0))
        self._wires()
        self._filters()
        if self.facts.need_tag:
            self.outer_tag()

    def _about_the_frame(self) -> None:
        for fact, value in (
            (Length(), self.window.length),
            (Ingress(), self.window.ingress),
            (Now(), self.window.now),
        ):
            if fact in self.facts.slots:
                self._put(fact, value(self.b))
        for half in self.facts.halves():
            self._put(half, self.window.kept(self.b, half))

    def _wires(self) -> None:
        """Fields at fixed places of the frame, where a tag that the device took off counts as if it were there."""
        for wire in self.facts.wires():
            self._put(wire, I64(0))
            done, tagged, plain = (self._new_block(name) for name in ("wire_read", "wire_tagged", "wire_plain"))
            tag = self.window.stripped_tag(self.b)
            if tag is None:
                self.b.branch(plain)
            else:
                self.b.cbranch(self._is(tag[0], 0), plain, tagged)
            self.b.position_at_end(tagged)
            if tag is None or wire.offset + wire.size > HEADER_WINDOW:
                self.b.branch(done)
            else:
                self._wire_around(wire, tag, done)
            self.b.position_at_end(plain)
            base = self.window.reach(self.b, I64(wire.offset), wire.size, done)
            self._put_wire(wire, [self._bytes(base, at, 1) for at in range(wire.size)], done)
            self.b.position_at_end(done)

    def _filters(self) -> None:
        if filters := self.facts.filters():
            code = BerkeleyCode(self.b, self.window, [fact.wanted for fact in filters])
            for fact in filters:
                self._put(fact, code.emit(fact.wanted))

    def _wire_around(self, wire: Wire, tag: tuple[ir.Value, ir.Value], done: ir.Block) -> None:
        """A field of a frame without its tag: the tag's own bytes, or those that it has pushed back."""
        control, kind = tag
        of_tag = [kind, self.b.lshr(kind, I64(8)), self.b.lshr(control, I64(8)), control]
        self.window.reach(self.b, I64(0), MACS_BYTES, done)
        found = []
        for at in range(wire.offset, wire.offset + wire.size):
            if MACS_BYTES <= at < MACS_BYTES + TAG_BYTES:
                found.append(self.b.and_(of_tag[at - MACS_BYTES], I64(0xFF)))
            else:
                before = at if at < MACS_BYTES else at - TAG_BYTES
                found.append(self._bytes(self.window.reach(self.b, I64(before), 1, done), 0, 1))
        self._put_wire(wire, found, done)

    def _put_wire(self, wire: Wire, octets: Sequence[ir.Value], done: ir.Block) -> None:
        whole: ir.Value = I64(FLAG32)
        for at, octet in enumerate(octets):
            whole = self.b.or_(whole, self.b.shl(octet, I64(8 * at)))
        self._put(wire, whole)
        self.b.branch(done)

    def outer_tag(self) -> None:
        """The outer tag, from the device or from the frame."""
        for fact in (TagControl(), TagType()):
            self._put(fact, I64(0))
        done, in_frame = self._new_block("tag_read"), self._new_block("tag_in_frame")
        tag = self.window.stripped_tag(self.b)
        if tag is not None:
            stripped = self._new_block("tag_stripped")
            self.b.cbranch(self._is(tag[0], 0), in_frame, stripped)
            self.b.position_at_end(stripped)
            self._put(TagControl(), tag[0])
            self._put(TagType(), self.b.or_(tag[1], I64(FLAG16)))
            self.b.branch(done)
        else:
            self.b.branch(in_frame)
        self.b.position_at_end(in_frame)
        base = self.window.reach(self.b, I64(0), ETHERNET_BYTES + 2, done)
        kind = self._bytes(base, MACS_BYTES, 2)
        self._continue_if(self._is_tag(kind), done)
        control = self.b.or_(self.b.shl(self._bytes(base, 14, 1), I64(8)), self._bytes(base, 15, 1))
        self._put(TagControl(), self.b.or_(control, I64(FLAG16)))
        self._put(TagType(), self.b.or_(kind, I64(FLAG16)))
        self.b.branch(done)
        self.b.position_at_end(done)
