"""Sends the frame in hand on the device of one egress end-point, in the place of a copy in a ring.

It is a global function like the delivery, and what it counts lies where a ring would: on the producer's line of
the end-point's smallest ring on this CPU, `head` is the copies that were sent and `lost` those that were not.

    sending already?  ->  device and queue  ->  clone and send  ->  sent or lost

The copy may be seen by programs that look at outgoing packets, before the call of the kernel comes back. What they
select for the same end-point is not sent again: otherwise a packet could go round for ever.
"""

from __future__ import annotations

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.deliver import OFFSETS
from pfq.codegen.hooks import HookCode
from pfq.codegen.kernel_calls import Helper
from pfq.codegen.llvm import I32, I64
from pfq.codegen.memory import EGRESS, DeviceMemory


class Transmission:
    """Emits the body of `u32 deliver(ctx, u32 endpoint)` for egress end-points; at TC, for XDP cannot clone."""

    def __init__(self, code: HookCode, endpoint: ir.Value, memory: DeviceMemory) -> None:
        self.code = code
        self.b = code.b
        self.k = code.k
        self.endpoint = endpoint
        self.memory = memory

    def emit(self) -> None:
        b, k = self.b, self.k
        done, lost, free, sent = (b.append_basic_block(name) for name in ("done", "lost", "free", "sent"))
        number = b.add(b.mul(self.endpoint, I32(self.memory.cpus)), b.trunc(k.cpu(), I32))
        ring = k.lookup(k.map(layouts.of_shape(EGRESS.slots, EGRESS.slot_bytes)), number, done)
        producer = k.lookup(ring, I32(0), done)
        slot = k.lookup(ring, I32(1), done)
        b.cbranch(b.icmp_unsigned("==", k.load(slot, layouts.SENDING, I64), I64(0)), free, lost)
        b.position_at_end(free)
        k.store(I64(1), slot, layouts.SENDING)
        refused = self._send()
        k.store(I64(0), slot, layouts.SENDING)
        b.cbranch(b.icmp_unsigned("==", refused, I64(0)), sent, lost)
        for block, counter in ((sent, "head"), (lost, "lost")):
            b.position_at_end(block)
            k.add(producer, OFFSETS[counter])
            b.branch(done)
        b.position_at_end(done)
        b.ret(I32(0))

    def _send(self) -> ir.Value:
        """Nonzero when the kernel refuses. The packet in hand keeps the queue that it came with."""
        b, k, ctx = self.b, self.k, self.code.ctx
        mine = self.memory.endpoint(k, self.endpoint)
        index = k.load(mine, layouts.ENDPOINT_DEVICE, I32)
        queue = k.load(mine, layouts.ENDPOINT_QUEUE, I32)
        before = self.code.word(self.code.queue)
        wanted = b.icmp_unsigned("!=", queue, I32(0))
        k.store(b.select(wanted, queue, before), ctx, self.code.queue)
        refused = k.call(Helper.CLONE_REDIRECT, ctx, index, I64(0))
        k.store(before, ctx, self.code.queue)
        return refused
