"""The header window of a frame as it was on the wire: where devices take tags off, a copy with the tag put back."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I1, I8, I16, I32, I64, PTR, stack_slot
from pfq.lang.packet import HEADER_WINDOW, MACS_BYTES, TAG_BYTES


class KernelCopy:
    """Emits the copy into memory of `layouts.WIRE_BYTES`, and the reaching of its bytes.

    load  copies the first bytes of the frame: where to (a pointer), how many (i64); nonzero on failure
    """

    def __init__(self, k: KernelCalls, place: ir.Value, load: Callable[[ir.Value, ir.Value], ir.Value]) -> None:
        self.k = k
        self.b = k.b
        self.place = place
        self.load = load
        self.count: ir.Value = I64(0)

    def emit(self, length: ir.Value, tag: tuple[ir.Value, ir.Value]) -> None:
        """length: bytes of the frame without its tag; tag: as of `Window.stripped_tag`."""
        b = self.b
        names = ("as_is", "tagged", "none", "read")
        plain, tagged, nothing, done = (b.append_basic_block(f"wire_{name}") for name in names)
        b.cbranch(b.icmp_unsigned("==", tag[0], I64(0)), plain, tagged)
        b.position_at_end(plain)
        arrivals = [(self._copied(0, 1, length, nothing), b.block)]
        b.branch(done)
        b.position_at_end(tagged)
        size = self._copied(TAG_BYTES, MACS_BYTES, length, nothing)
        for at in range(0, MACS_BYTES, 4):
            self.k.store(self.k.load(self.place, TAG_BYTES + at, I32), self.place, at)
        control, kind = (b.trunc(word, I16) for word in tag)
        self.k.store(kind, self.place, MACS_BYTES)
        self.k.store(b.bswap(control), self.place, MACS_BYTES + 2)
        arrivals.append((b.add(size, I64(TAG_BYTES)), b.block))
        b.branch(done)
        b.position_at_end(nothing)
        b.branch(done)
        b.position_at_end(done)
        self.count = b.phi(I64)
        for count, block in (*arrivals, (I64(0), nothing)):
            self.count.add_incoming(count, block)

    def _copied(self, at: int, least: int, length: ir.Value, fail: ir.Block) -> ir.Value:
        """Copies what fits of the frame behind `at`; how many bytes. The helper wants a size in bounds."""
        most = HEADER_WINDOW - at
        shorter = self.b.icmp_unsigned("<", length, I64(most))
        size = self.k.within(self.b.select(shorter, length, I64(most)), least, most, fail)
        self._go_on_if(self.b.icmp_unsigned("==", self.load(self.k.field(self.place, at), size), I64(0)), fail)
        return size

    def _go_on_if(self, condition: ir.Value, fail: ir.Block) -> None:
        go_on = self.b.append_basic_block("go_on")
        self.b.cbranch(condition, go_on, fail)
        self.b.position_at_end(go_on)

    def reach(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        """As `Window.reach`; an offset is below the window's end."""
        inside = b.append_basic_block("inside")
        b.cbranch(b.icmp_unsigned("<=", b.add(offset, I64(size)), self.count), inside, fail)
        b.position_at_end(inside)
        if not isinstance(offset, ir.Constant):
            # For the verifier, which does not know what the offset was compared with.
            offset = b.and_(self.k.opaque(offset), I64(HEADER_WINDOW - 1))
        return self.k.field(self.place, offset)


def host_copy(
    b: ir.IRBuilder, frame: ir.Value, captured: ir.Value, tag: tuple[ir.Value, ir.Value]
) -> tuple[ir.Value, ir.Value]:
    """Where the frame is as it was on the wire, and how many bytes of it: itself, or a copy on the stack."""
    with b.goto_entry_block():
        copy = stack_slot(b, ir.ArrayType(I8, HEADER_WINDOW + TAG_BYTES))
    control, kind = tag
    before = b.block
    tagged, whole, done = (b.append_basic_block(f"wire_{name}") for name in ("tag", "whole", "read"))
    b.cbranch(b.icmp_unsigned("==", control, I64(0)), done, tagged)
    b.position_at_end(tagged)
    b.cbranch(b.icmp_unsigned("<", captured, I64(MACS_BYTES)), done, whole)
    b.position_at_end(whole)
    move = b.module.declare_intrinsic("llvm.memcpy", [PTR, PTR, I64])
    behind, rest = b.gep(frame, [I64(MACS_BYTES)], source_etype=I8), b.sub(captured, I64(MACS_BYTES))
    b.call(move, [copy, frame, I64(MACS_BYTES), I1(0)])
    b.call(move, [b.gep(copy, [I64(MACS_BYTES + TAG_BYTES)], source_etype=I8), behind, rest, I1(0)])
    for at, word in ((MACS_BYTES, b.trunc(kind, I16)), (MACS_BYTES + 2, b.bswap(b.trunc(control, I16)))):
        b.store(word, b.gep(copy, [I64(at)], source_etype=I8), align=2)
    size = b.add(captured, I64(TAG_BYTES))
    size = b.select(b.icmp_unsigned(">", size, I64(HEADER_WINDOW)), I64(HEADER_WINDOW), size)
    b.branch(done)
    b.position_at_end(done)
    place, count = b.phi(PTR), b.phi(I64)
    for block, found in ((before, (frame, captured)), (tagged, (copy, I64(0))), (whole, (copy, size))):
        for phi, value in zip((place, count), found, strict=True):
            phi.add_incoming(value, block)
    return place, count
