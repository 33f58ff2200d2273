"""The report: tells the user about the packet in hand, at a limited rate.

Like the delivery it is a global function, which the verifier checks once however often it is called.
"""

from __future__ import annotations

from typing import Final

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.hooks import HookCode
from pfq.codegen.kernel_calls import Helper, KernelCalls
from pfq.codegen.llvm import I32, I64
from pfq.codegen.memory import DeviceMemory

EVENTS_PER_SECOND: Final = 100
BURST: Final = 100
INTERVAL_NS: Final = 10**9 // EVENTS_PER_SECOND
TRIES: Final = 4


class Report:
    """Emits the body of `u32 report(ctx, u32 site)`."""

    def __init__(self, code: HookCode, site: ir.Value, memory: DeviceMemory) -> None:
        self.code = code
        self.b = code.b
        self.k: KernelCalls = code.k
        self.site = site
        self.memory = memory

    def emit(self) -> None:
        done = self.b.append_basic_block("done")
        config = self.k.map(layouts.ENGINE_MAP)
        now = self.k.call(Helper.KTIME_GET_NS)
        self._take_turn(config, now, done)
        scratch = self.memory.scratch(self.k, self.k.cpu())
        event = self.k.field(scratch, layouts.EVENT)
        self._fill(scratch, event, now)
        full = self.k.call(
            Helper.RINGBUF_OUTPUT, self.k.map(layouts.EVENTS_MAP), event, I64(layouts.EVENT_BYTES), I64(0)
        )
        with self.b.if_then(self.b.icmp_unsigned("!=", full, I64(0)), likely=False):
            self._count(config, layouts.EVENTS_LOST)
        self.b.branch(done)
        self.b.position_at_end(done)
        self.b.ret(I32(0))

    def _take_turn(self, config: ir.Value, now: ir.Value, done: ir.Block) -> None:
        """Goes on when the rate permits an event; counts those held back."""
        held, go_on = self.b.append_basic_block("held_back"), self.b.append_basic_block("permitted")
        for _ in range(TRIES):
            due = self.k.load(config, layouts.EVENT_TURN, I64)
            start = self.b.select(self.b.icmp_unsigned(">", due, now), due, now)
            early = self.b.icmp_unsigned(">", self.b.sub(start, now), I64((BURST - 1) * INTERVAL_NS))
            turn = self.b.append_basic_block("turn")
            self.b.cbranch(early, held, turn)
            self.b.position_at_end(turn)
            place = self.k.field(config, layouts.EVENT_TURN)
            taken = self.b.cmpxchg(place, due, self.b.add(start, I64(INTERVAL_NS)), "seq_cst", "seq_cst")
            again = self.b.append_basic_block("again")
            self.b.cbranch(self.b.extract_value(taken, 1), go_on, again)
            self.b.position_at_end(again)
        self.b.branch(held)
        self.b.position_at_end(held)
        self._count(config, layouts.EVENTS_HELD_BACK)
        self.b.branch(done)
        self.b.position_at_end(go_on)

    def _count(self, config: ir.Value, offset: int) -> None:
        self.b.atomic_rmw("add", self.k.field(config, offset), I64(1), "monotonic")

    def _fill(self, scratch: ir.Value, event: ir.Value, now: ir.Value) -> None:
        k, b = self.k, self.b
        for offset in range(0, layouts.ACTION_BYTES, 8):
            k.store(k.load(scratch, offset, I64), event, layouts.EVENT_ACTION + offset)
        k.store(now, event, layouts.EVENT_TIME)
        generation = k.load(k.map(layouts.CONFIG_MAP), layouts.GENERATION, I32)
        k.store(b.or_(self.site, generation), event, layouts.EVENT_SITE)
        length = self.code.length()
        k.store(b.trunc(length, I32), event, layouts.EVENT_LENGTH)
        k.store(self.code.word(self.code.ifindex), event, layouts.EVENT_INGRESS)
        tag = self.code.tag()
        k.store(I32(0) if tag is None else tag, event, layouts.EVENT_TAG)
        kind = I32(0) if tag is None else self.code.word(self.code.vlan_proto)
        k.store(kind, event, layouts.EVENT_TAG_TYPE)
        self._bytes(event, self.code.buffered())

    def _bytes(self, event: ir.Value, captured: ir.Value) -> None:
        k, b = self.k, self.b
        long = b.icmp_unsigned(">", captured, I64(layouts.EVENT_SNAPLEN))
        k.store(I32(0), event, layouts.EVENT_CAPTURED)
        without = b.append_basic_block("without_bytes")
        size = k.within(b.select(long, I64(layouts.EVENT_SNAPLEN), captured), 1, layouts.EVENT_SNAPLEN, without)
        failed = self.code.load_bytes(0, k.field(event, layouts.EVENT_DATA), size)
        with b.if_then(b.icmp_unsigned("==", failed, I64(0))):
            k.store(b.trunc(size, I32), event, layouts.EVENT_CAPTURED)
        b.branch(without)
        b.position_at_end(without)
