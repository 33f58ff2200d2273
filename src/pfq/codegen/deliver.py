"""The delivery: copies the frame in hand into the ring that one end-point has on this CPU.

It is a global function, which the verifier checks once however often it is called. Its memory is
`pfq.layout`; the order of its steps is the ring's protocol:

    room?  ->  header and bytes  ->  head (publishes)  ->  doorbell when the reader sleeps
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from pfq import layout
from pfq.codegen import layouts
from pfq.codegen.hooks import HookCode
from pfq.codegen.kernel_calls import RB_FORCE_WAKEUP, Helper, KernelCalls
from pfq.codegen.llvm import I16, I32, I64
from pfq.codegen.memory import DeviceMemory, RingShape
from pfq.codegen.reading import swapped
from pfq.lang.packet import TAG_BYTES, VLAN_TYPES

OFFSETS = {m.name: m.offset for table in (layout.SLOT, layout.PRODUCER, layout.CONSUMER) for m in table}
KINDS = {m.name: ir.IntType(m.bits) for table in (layout.SLOT, layout.PRODUCER, layout.CONSUMER) for m in table}

MACS_BYTES = 12
WORD = 8
CHUNKS = (128, 64, 32, 16, 8)
"""A frame of at most twice such a size is copied as its first and its last so many bytes."""


class Delivery:
    """Emits the body of `u32 deliver(ctx, u32 endpoint)` for end-points whose rings have one shape."""

    def __init__(
        self, code: HookCode, endpoint: ir.Value, memory: DeviceMemory, shape: RingShape, ordered: bool, clocks: int = 1
    ) -> None:
        self.code = code
        self.b = code.b
        self.k: KernelCalls = code.k
        self.endpoint = endpoint
        self.shape = shape
        self.clocks = clocks
        self.memory = memory
        self.ordered = ordered

    def emit(self, groups: Sequence[int]) -> None:
        done = self.b.append_basic_block("done")
        cpu = self.k.cpu()
        self.scratch = self.memory.scratch(self.k, cpu)
        number = self.b.add(self.b.mul(self.endpoint, I32(self.memory.cpus)), self.b.trunc(cpu, I32))
        rings = layouts.of_shape(self.shape.slots, self.shape.slot_bytes)
        ring = self.k.lookup(self.k.map(rings), number, done)
        producer = self.k.lookup(ring, I32(0), done)
        pages = self.k.lookup(self.k.map(layouts.CONSUMERS_MAP), self.endpoint, done)
        consumer = self.k.lookup(pages, self.b.trunc(cpu, I32), done)
        head = self._get(producer, "head")
        lost = self._lost(producer, done)
        self._make_room(producer, consumer, head, lost)
        place = self.b.and_(head, I64(self.shape.slots - 1))
        slot = self.k.lookup(ring, self.b.add(self.b.trunc(place, I32), I32(1)), lost)
        self._fill(slot, groups, lost)
        self._publish(producer, self.b.add(head, I64(1)))
        self._ring_bell(consumer, done)
        self.b.branch(done)
        self.b.position_at_end(done)
        self.b.ret(I32(0))

    def _get(self, base: ir.Value, name: str) -> ir.Value:
        return self.k.load(base, OFFSETS[name], KINDS[name])

    def _put(self, base: ir.Value, name: str, value: ir.Value) -> None:
        narrow = value if value.type == KINDS[name] else self.b.trunc(value, KINDS[name])
        self.k.store(narrow, base, OFFSETS[name])

    def _full(self, head: ir.Value, tail: ir.Value) -> ir.Value:
        # Unsigned: a reader that claims a tail ahead of the head has a full ring, no more.
        return self.b.icmp_unsigned(">=", self.b.sub(head, tail), I64(self.shape.slots))

    def _lost(self, producer: ir.Value, done: ir.Block) -> ir.Block:
        """The block that counts the packet as lost."""
        lost = self.b.append_basic_block("lost")
        with self.b.goto_block(lost):
            self.k.add(producer, OFFSETS["lost"])
            self.b.branch(done)
        return lost

    def _make_room(self, producer: ir.Value, consumer: ir.Value, head: ir.Value, lost: ir.Block) -> None:
        """Goes on when the ring has a free slot."""
        with self.b.if_then(self._full(head, self._get(producer, "tail_seen")), likely=False):
            tail = self._get(consumer, "tail")
            free = self.b.append_basic_block("free")
            self.b.cbranch(self._full(head, tail), lost, free)
            self.b.position_at_end(free)
            self._put(producer, "tail_seen", tail)

    def _fill(self, slot: ir.Value, groups: Sequence[int], lost: ir.Block) -> None:
        length = self.code.length()
        mine = self.memory.endpoint(self.k, self.endpoint)
        snaplen = self.b.zext(self.k.load(mine, layouts.ENDPOINT_SNAPLEN, I32), I64)
        long = self.b.icmp_unsigned(">", length, snaplen)
        size = self.k.opaque(self.b.select(long, snaplen, length))
        self._put(slot, "ts_ns", self._time(mine))
        self._put(slot, "len", length)
        self._put(slot, "ifindex", self.code.word(self.code.ifindex))
        self._put(slot, "mark", self.k.load(self.scratch, layouts.MARK, I32))
        self._put(slot, "caplen", size)
        self._put(slot, "queue", self.code.receive_queue())
        self._group_and_state(slot, groups)
        tag = self.code.tag()
        data = self.k.field(slot, layout.SLOT_HEADER_BYTES)
        if tag is None:
            self._copy_as_it_is(slot, data, size, lost)
            return
        stripped = self.b.icmp_unsigned("!=", tag, I32(0))
        with self.b.if_else(stripped) as (yes, no):
            with yes:
                self._put(slot, "vlan_tci", tag)
                self._copy_with_tag(data, size, tag, lost)
            with no:
                self._copy_as_it_is(slot, data, size, lost)

    def _time(self, mine: ir.Value) -> ir.Value:
        """By the end-point's clock; the time by `none` is never written."""
        if self.clocks == 1:
            return self.k.load(self.scratch, layouts.TIME, I64)
        clock = self.k.opaque(self.b.zext(self.k.load(mine, layouts.ENDPOINT_CLOCK, I32), I64))
        last = len(layouts.CLOCK_NUMBERS) - 1
        at = self.b.select(self.b.icmp_unsigned("<", clock, I64(last)), clock, I64(last))
        times = self.k.field(self.scratch, self.b.shl(self.b.and_(self.k.opaque(at), I64(3)), I64(3)))
        return self.k.load(times, layouts.TIMES, I64)

    def _copy_as_it_is(self, slot: ir.Value, data: ir.Value, size: ir.Value, lost: ir.Block) -> None:
        first, end = self.code.limits()
        self._put(slot, "vlan_tci", I16(0))
        with self.b.if_then(self.b.icmp_unsigned("<=", self.k.field(first, MACS_BYTES + TAG_BYTES), end)):
            ethertype = self.k.load(first, MACS_BYTES, I16)
            is_tag = self.b.or_(*(self.b.icmp_unsigned("==", ethertype, I16(swapped(kind))) for kind in VLAN_TYPES))
            with self.b.if_then(is_tag):
                self._put(slot, "vlan_tci", self.b.bswap(self.k.load(first, MACS_BYTES + 2, I16)))
        self._copy(first, end, data, size, lost)

    def _group_and_state(self, slot: ir.Value, groups: Sequence[int]) -> None:
        """Those of the highest group that selected this end-point."""
        if len(groups) == 1:
            self._put(slot, "group", I16(groups[0]))
            self._put(slot, "state", self.k.load(self.scratch, layouts.STATE, I32))
            return
        self._put(slot, "group", self.k.load(self.scratch, layouts.COPY_GROUP, I32))
        self._put(slot, "state", self.k.load(self.scratch, layouts.COPY_STATE, I32))

    # bytes

    def _copy(self, first: ir.Value, end: ir.Value, to: ir.Value, size: ir.Value, lost: ir.Block) -> None:
        """The first `size` bytes of the frame: short ones word by word, long ones by the kernel.

        A size between c and 2c is copied as its first c and its last c bytes, which overlap.
        """
        copied, by_kernel = (self.b.append_basic_block(name) for name in ("copied", "by_kernel"))
        self._go_on_if(self.b.icmp_unsigned("<=", size, I64(2 * CHUNKS[0])), by_kernel)
        for chunk in (c for c in CHUNKS if c <= self.shape.snaplen):
            shorter = self.b.append_basic_block(f"below{chunk}")
            self._go_on_if(self.b.icmp_unsigned(">=", size, I64(chunk)), shorter)
            self._copy_ends(first, end, to, size, chunk, by_kernel)
            self.b.branch(copied)
            self.b.position_at_end(shorter)
        self.b.branch(by_kernel)
        self.b.position_at_end(by_kernel)
        self._load_bytes(0, to, size, lost)
        self.b.branch(copied)
        self.b.position_at_end(copied)

    def _go_on_if(self, cond: ir.Value, otherwise: ir.Block) -> None:
        go_on = self.b.append_basic_block("go_on")
        self.b.cbranch(cond, go_on, otherwise)
        self.b.position_at_end(go_on)

    def _copy_ends(
        self, first: ir.Value, end: ir.Value, to: ir.Value, size: ir.Value, chunk: int, fail: ir.Block
    ) -> None:
        self._words(first, end, to, chunk, fail)
        rest = self.k.opaque(self.b.sub(size, I64(chunk)))
        self._go_on_if(self.b.icmp_unsigned("<=", rest, I64(min(chunk, self.shape.snaplen - chunk))), fail)
        self._words(self.k.field(first, rest), end, self.k.field(to, rest), chunk, fail)

    def _words(self, start: ir.Value, end: ir.Value, to: ir.Value, size: int, fail: ir.Block) -> None:
        self._go_on_if(self.b.icmp_unsigned("<=", self.k.field(start, size), end), fail)
        for at in range(0, size, WORD):
            self.k.store(self.k.load(start, at, I64), to, at)

    def _load_bytes(self, offset: int, to: ir.Value, size: ir.Value, lost: ir.Block) -> None:
        """By the kernel's helper, which needs a size that the verifier sees to be in range."""
        count = self.k.within(size, 1, self.shape.snaplen, lost)
        self._go_on_if(self.b.icmp_unsigned("==", self.code.load_bytes(offset, to, count), I64(0)), lost)

    def _copy_with_tag(self, to: ir.Value, size: ir.Value, tag: ir.Value, lost: ir.Block) -> None:
        """Puts the tag that the device took off back behind the MAC addresses."""
        self._load_bytes(0, to, I64(min(MACS_BYTES, self.shape.snaplen)), lost)
        # Every slot has room for the tag, even where the snap length cuts it.
        self.k.store(self.b.trunc(self.code.word(self.code.vlan_proto), I16), to, MACS_BYTES)
        self.k.store(self.b.bswap(self.b.trunc(tag, I16)), to, MACS_BYTES + 2)
        room = self.shape.snaplen - MACS_BYTES - TAG_BYTES
        if room > 0:
            with self.b.if_then(self.b.icmp_unsigned(">", size, I64(MACS_BYTES + TAG_BYTES))):
                untagged = self.k.opaque(self.b.sub(size, I64(MACS_BYTES + TAG_BYTES)))
                self._go_on_if(self.b.icmp_unsigned("<=", untagged, I64(room)), lost)
                self._load_bytes(MACS_BYTES, self.k.field(to, MACS_BYTES + TAG_BYTES), untagged, lost)

    # wake-up

    def _publish(self, producer: ir.Value, head: ir.Value) -> None:
        """Whoever sees the new head sees the packet: its bytes were stored before."""
        self.k.barrier()
        if self.ordered:
            self._put(producer, "head", head)
        else:
            self.b.atomic_rmw("xchg", self.k.field(producer, OFFSETS["head"]), head, "seq_cst")
        self.k.barrier()

    def _ring_bell(self, consumer: ir.Value, done: ir.Block) -> None:
        asleep = self.b.icmp_unsigned("!=", self._get(consumer, "sleeping"), I32(0))
        with self.b.if_then(asleep, likely=False):
            self._put(consumer, "sleeping", I32(0))
            bell = self.k.lookup(self.k.map(layouts.DOORBELLS_MAP), self.endpoint, done)
            with self.b.goto_entry_block():
                note = self.b.alloca(I64)
            note.type = bell.type
            self.b.store(I64(0), note, align=8)
            self.k.call(Helper.RINGBUF_OUTPUT, bell, note, I64(WORD), I64(RB_FORCE_WAKEUP))
