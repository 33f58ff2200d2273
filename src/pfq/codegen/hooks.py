"""What XDP and TC programs do differently: the context, how frames are reached, the verdicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.facts import HalfInUse
from pfq.codegen.kernel_calls import Helper, KernelCalls
from pfq.codegen.llvm import I8, I16, I32, I64, PTR
from pfq.codegen.reading import Reach
from pfq.codegen.spec import Hook
from pfq.codegen.wire import KernelCopy
from pfq.lang.packet import HEADER_WINDOW, TAG_BYTES

XDP_DROP, XDP_PASS = 1, 2
MAX_OFFSET = 4095
"""Offsets of headers are less: one in the window, and the longest header there is."""
LARGEST_OFFSET = (1 << 31) - 1
"""Of those that helpers understand; frames are shorter."""
TC_SHOT, TC_NEXT = 2, -1


class HookCode(ABC):
    """Emits the parts of a function that depend on the hook; `ctx` is its first argument."""

    struct: tuple[str, int]
    """name and size of the context structure"""
    data: int
    data_end: int
    ifindex: int
    queue: int
    vlan_proto = 28
    drop: int
    go_on: int
    load_helper: Helper

    def __init__(self, builder: ir.IRBuilder, ctx: ir.Value) -> None:
        self.b = builder
        self.k = KernelCalls(builder)
        self.ctx = ctx

    def word(self, offset: int) -> ir.Value:
        return self.k.load(self.ctx, offset, I32)

    def limits(self) -> tuple[ir.Value, ir.Value]:
        """Pointers to the first byte of the frame and behind the last one in reach.

        Both are made opaque at once: a pointer that LLVM took for a 32-bit number would be spilled
        as one, which the verifier refuses.
        """
        first, end = (self.b.zext(self.word(at), I64) for at in (self.data, self.data_end))
        opaque_first, opaque_end = self.k.opaque(first), self.k.opaque(end)
        return self.b.inttoptr(opaque_first, PTR), self.b.inttoptr(opaque_end, PTR)

    @abstractmethod
    def prepare(self) -> None:
        """Brings the header window into reach."""

    @abstractmethod
    def length(self) -> ir.Value:
        """Length of the frame on the wire, in bytes (i64), a tag the device took off included."""

    def buffered(self) -> ir.Value:
        """Bytes of the frame that can be read (i64), without a tag the device took off."""
        return self.length()

    @abstractmethod
    def tag(self) -> ir.Value | None:
        """The control information of the tag the device took off plus 2**16, 0 when there is none (i32)."""

    def receive_queue(self) -> ir.Value:
        return self.b.trunc(self.word(self.queue), I16)

    def load_bytes(self, offset: int | ir.Value, to: ir.Value, size: ir.Value) -> ir.Value:
        """Copies `size` bytes from `offset` of the frame, from all its buffers; nonzero on failure."""
        at = I32(offset) if isinstance(offset, int) else self.b.trunc(offset, I32)
        return self.k.call(self.load_helper, self.ctx, at, to, self.b.trunc(size, I32))


class XdpCode(HookCode):
    struct = ("xdp_md", 24)
    data, data_end, ifindex, queue = 0, 4, 12, 16
    drop, go_on = XDP_DROP, XDP_PASS
    load_helper = Helper.XDP_LOAD_BYTES

    def prepare(self) -> None:
        return

    def length(self) -> ir.Value:
        return self.k.call(Helper.XDP_GET_BUFF_LEN, self.ctx)

    def tag(self) -> ir.Value | None:
        return None


class LinearXdpCode(XdpCode):
    """For frames that are known to lie in one buffer: their length costs no call."""

    def length(self) -> ir.Value:
        first, end = self.limits()
        return self.b.sub(self.b.ptrtoint(end, I64), self.b.ptrtoint(first, I64))


class TcCode(HookCode):
    struct = ("__sk_buff", 192)
    data, data_end, ifindex, queue = 76, 80, 40, 12
    drop, go_on = TC_SHOT, TC_NEXT
    load_helper = Helper.SKB_LOAD_BYTES
    LEN, VLAN_PRESENT, VLAN_TCI, DATA_META = 0, 20, 24, 140

    def prepare(self) -> None:
        length = self.b.zext(self.word(self.LEN), I64)
        short = self.b.icmp_unsigned("<", length, I64(HEADER_WINDOW))
        window = self.k.opaque(self.b.select(short, length, I64(HEADER_WINDOW)))
        data, end = self.limits()
        missing = self.b.icmp_unsigned(">", self.k.field(data, window), end)
        with self.b.if_then(missing):
            self.k.call(Helper.SKB_PULL_DATA, self.ctx, self.b.trunc(window, I32))

    def length(self) -> ir.Value:
        length = self.b.zext(self.word(self.LEN), I64)
        stripped = self.b.icmp_unsigned("!=", self.word(self.VLAN_PRESENT), I32(0))
        return self.b.add(length, self.b.select(stripped, I64(4), I64(0)))

    def buffered(self) -> ir.Value:
        return self.b.zext(self.word(self.LEN), I64)

    def tag(self) -> ir.Value | None:
        stripped = self.b.icmp_unsigned("!=", self.word(self.VLAN_PRESENT), I32(0))
        known = self.b.or_(self.word(self.VLAN_TCI), I32(1 << 16))
        return self.b.select(stripped, known, I32(0))

    def only_moved(self) -> None:
        """Goes on when the packet is marked as one about which no program at XDP has decided; others pass."""
        b, k = self.b, self.k
        (first, _), meta = self.limits(), b.inttoptr(k.opaque(b.zext(self.word(self.DATA_META), I64)), PTR)
        there, moved, other = (b.append_basic_block(name) for name in ("metadata", "moved", "decided"))
        b.cbranch(b.icmp_unsigned("<=", k.field(meta, layouts.MOVED_BYTES), first), there, other)
        b.position_at_end(there)
        b.cbranch(b.icmp_unsigned("==", k.load(meta, 0, I64), I64(layouts.MOVED_MARK)), moved, other)
        b.position_at_end(other)
        b.ret(I32(self.go_on))
        b.position_at_end(moved)

    def receive_queue(self) -> ir.Value:
        recorded = self.word(self.queue)
        none = self.b.icmp_unsigned("==", recorded, I32(0))
        return self.b.trunc(self.b.select(none, I32(0), self.b.sub(recorded, I32(1))), I16)


def hook_code(hook: Hook, linear: bool) -> type[HookCode]:
    """The code for a hook; linear as in `Device`, which matters to XDP only."""
    if hook is not Hook.XDP:
        return TcCode
    return LinearXdpCode if linear else XdpCode


class KernelWindow:
    """The header window of a frame in the kernel: two pointers, compared before every access.

    scratch  this CPU's scratch memory
    trial    the time is what the configuration says
    opened   bytes of the frame will be read
    """

    def __init__(self, code: HookCode, scratch: ir.Value, trial: bool, opened: bool) -> None:
        self.code = code
        self.k = code.k
        self.first = self.end = PTR(None)
        if opened:
            code.prepare()
            self.first, self.end = code.limits()
        self.tag = code.tag()
        self.scratch = scratch
        self.trial = trial

    def reach(
        self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block, compared: ir.Value | None = None
    ) -> ir.Value:
        """compared: the first byte once more, to reckon from when constant offsets are compared with the end."""
        near = b.append_basic_block("near")
        b.cbranch(b.icmp_unsigned("<=", offset, I64(HEADER_WINDOW - size)), near, fail)
        b.position_at_end(near)
        start = b.gep(self.first, [offset], source_etype=I8)
        inside = b.append_basic_block("inside")
        behind = b.gep(start, [I64(size)], source_etype=I8)
        if compared is not None and isinstance(offset, ir.Constant):
            behind = b.gep(compared, [I64(offset.constant + size)], source_etype=I8)
        b.cbranch(b.icmp_unsigned("<=", behind, self.end), inside, fail)
        b.position_at_end(inside)
        return start

    def wire(self, b: ir.IRBuilder) -> Reach:
        tag = self.stripped_tag(b)
        if tag is None:
            # A filter compares at many offsets. Where one field ends another begins, and the verifier refuses a load
            # from a pointer of which it has seen, on a way that no packet takes, that it is past the end.
            return partial(self.reach, compared=self.k.opaque(self.first))
        place = self.k.field(self.scratch, layouts.WIRE)
        copy = KernelCopy(self.k, place, lambda to, size: self.code.load_bytes(0, to, size))
        copy.emit(self.code.buffered(), tag)
        return copy.reach

    def beyond(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        """By a call, which finds the bytes in whatever buffer they are."""
        tag = self.stripped_tag(b)
        if tag is not None:
            offset = b.sub(offset, b.select(b.icmp_unsigned("==", tag[0], I64(0)), I64(0), I64(TAG_BYTES)))
        near, there = (b.append_basic_block(name) for name in ("near_enough", "beyond"))
        b.cbranch(b.icmp_unsigned("<=", offset, I64(LARGEST_OFFSET)), near, fail)
        b.position_at_end(near)
        place = self.k.field(self.scratch, layouts.SPARE)
        failed = self.code.load_bytes(offset, place, I64(size))
        b.cbranch(b.icmp_unsigned("==", failed, I64(0)), there, fail)
        b.position_at_end(there)
        return place

    def forget(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        self.k.store(value, self.scratch, layouts.SPARE)
        self.k.barrier()
        # Bounded from the start: Linux 6.1, when it sees it compared only after it was spilled,
        # knows no bound when it comes back.
        return self.k.opaque(b.and_(self.k.load(self.scratch, layouts.SPARE, I64), I64(MAX_OFFSET)))

    def stripped_tag(self, b: ir.IRBuilder) -> tuple[ir.Value, ir.Value] | None:
        if self.tag is None:
            return None
        return b.zext(self.tag, I64), b.zext(b.trunc(self.code.word(self.code.vlan_proto), I16), I64)

    def length(self, b: ir.IRBuilder) -> ir.Value:
        return self.code.length()

    def ingress(self, b: ir.IRBuilder) -> ir.Value:
        return b.zext(self.code.word(self.code.ifindex), I64)

    def now(self, b: ir.IRBuilder) -> ir.Value:
        if self.trial:
            return self.k.load(self.k.map(layouts.CONFIG_MAP), layouts.TRIAL_TIME, I64)
        return self.k.call(Helper.KTIME_GET_NS)

    def kept(self, b: ir.IRBuilder, half: HalfInUse) -> ir.Value:
        return b.zext(self.k.load(self.k.map(half.memory), half.offset, I32), I64)
