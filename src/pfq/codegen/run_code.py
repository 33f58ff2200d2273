"""The code that decides a run of packets: one function of this process that loops over records.

    record ──► filters ──► read headers ──► program ──► settle ──► verdict, counts
       └──────────────────────── the next one ──────────────────────┘

It is the code of a device in the kernel with other surroundings. What is counted for every packet
is kept in registers until the run is over.
"""

from __future__ import annotations

from typing import Final

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.admission import Admission, AdmissionCode
from pfq.codegen.arithmetic import Surroundings
from pfq.codegen.columns import loaded
from pfq.codegen.data import DataPlan
from pfq.codegen.emitter import CodeEmitter, start_action, start_packet
from pfq.codegen.facts import Facts
from pfq.codegen.headers import HeaderCode
from pfq.codegen.kernel_calls import HostCalls, KernelCalls
from pfq.codegen.llvm import I8, I32, I64, PTR, host_machine, new_module, stack_slot
from pfq.codegen.places import Nowhere
from pfq.codegen.run_memory import (
    COPIES,
    DEVICES,
    EVENT_COUNT,
    EVENTS_ROOM,
    NULL,
    RECORD_FIELDS,
    RUN_EVENT_ACTION,
    RUN_EVENT_BYTES,
    RUN_EVENT_INDEX,
    RUN_EVENT_SITE,
    RUN_EVENTS,
    RunMemory,
    RunWindow,
    as_pointer,
)
from pfq.codegen.settle import Settlement
from pfq.lang.action import MAX_EVENTS
from pfq.lang.group import Filters, Outcome
from pfq.lang.packet import HEADER_WINDOW
from pfq.lang.program import Program
from pfq.layout import RECORD_BYTES, VERDICT, VERDICT_BYTES

ENTRY: Final = "run"

LOCAL_WORDS: Final = layouts.USER_COUNTERS // 8
_VERDICT: Final = {member.name: member.offset for member in VERDICT}


class RunCode:
    """The function `u64 run(records, u64 count, verdicts, u64 most, memory, data)`, which gives the packets done.

    records   `RECORD` each
    verdicts  `VERDICT` for each record, or null: nobody wants to know
    most      the function returns behind so many selected packets, or when there is no more room for events
    memory    that of the group, `RunMemory.size` long
    data      the memory that `plan` describes

    class_sets  the sets of classes that the steering tables are for, in their order
    """

    def __init__(self, program: Program, filters: Filters) -> None:
        self.plan = DataPlan()
        self.module = new_module("pfq_run", host_machine())
        kinds = [PTR, I64, PTR, I64, PTR, PTR]
        function = ir.Function(self.module, ir.FunctionType(I64, kinds), ENTRY)
        for argument, kind in zip(function.args, kinds, strict=True):
            if kind is PTR:
                argument.add_attribute("noalias")
        self.records, self.count, self.verdicts, most, self.memory, self.data = function.args
        names = ("start", "loop", "read", "decide", "store", "next", "end")
        start, loop, read, decide, self.store, self.next, self.end = map(function.append_basic_block, names)
        at_start, at_loop, at_read = map(ir.IRBuilder, (start, loop, read))
        self._start(at_start, most)
        at_start.branch(loop)
        self.index = at_loop.phi(I64, name="index")
        self.index.add_incoming(I64(0), start)
        self.facts = Facts()
        self.admission = Admission([filters], self.facts, self.plan)
        self.record = at_read.gep(self.records, [at_read.mul(self.index, I64(RECORD_BYTES))], source_etype=I8)
        self._decide(ir.IRBuilder(decide), program)
        self._read(at_read, decide)
        self._another(at_loop, read)
        self._go_on(loop)
        self._finish(ir.IRBuilder(self.end), loop)

    @property
    def layout(self) -> RunMemory:
        return RunMemory(self.memory, len(self.class_sets))

    def _start(self, b: ir.IRBuilder, most: ir.Value) -> None:
        k = HostCalls(b)
        self.slots = stack_slot(b, ir.ArrayType(I64, layouts.MAX_FACTS))
        self.action = stack_slot(b, ir.ArrayType(I64, layouts.RECORD_BYTES // 8))
        self.counters = stack_slot(b, ir.ArrayType(I64, LOCAL_WORDS))
        self.left, self.outcome = stack_slot(b, I64), stack_slot(b, I64)
        for word in range(LOCAL_WORDS):
            k.store(I64(0), self.counters, 8 * word)
        k.store(most, self.left, 0)
        k.store(I64(0), self.memory, EVENT_COUNT)

    def _decide(self, b: ir.IRBuilder, program: Program) -> None:
        """Everything behind the reading, up to the block `store`."""
        k = HostCalls(b)
        k.add(self.counters, layouts.ARRIVED)
        start_packet(b, self.action)
        start_action(b, self.action)
        k.store(I32(0), self.action, layouts.MARK)
        k.store(I64(Outcome.FILTERED), self.outcome, 0)
        filtered = self._admit(k) if self.admission else None
        k.store(I64(Outcome.DROPPED), self.outcome, 0)
        around = Surroundings(
            record=self.action,
            slots=self.slots,
            counters=k.field(self.memory, layouts.USER_COUNTERS),
            data=self.data,
            devices=k.field(self.memory, DEVICES),
            cpu=I64(0),
            tell=self._tell,
            calls=HostCalls,
        )
        emitter = CodeEmitter(b, self.facts, self.plan, Nowhere(), around)
        kept, dropped = (b.append_basic_block(name) for name in ("kept", "dropped"))
        emitter.program(program.main, kept, dropped)
        b.position_at_end(kept)
        k.store(I64(Outcome.SELECTED), self.outcome, 0)
        k.store(b.sub(k.load(self.left, 0, I64), I64(1)), self.left, 0)
        self.class_sets = tuple(sorted(emitter.class_sets))
        tables = {classes: number for number, classes in enumerate(self.class_sets)}
        settlement = Settlement(k, self.layout, self.action, self.counters, I64(0), 0)
        settlement.emit(dropped, filtered, emitter.fanouts, tables, emitter.passes_up)
        if emitter.forwards:
            wanted = b.zext(k.load(self.action, layouts.FORWARD_COUNT, I32), I64)
            total = k.load(self.counters, layouts.FORWARDED, I64)
            k.store(b.add(total, wanted), self.counters, layouts.FORWARDED)
        self._count_copies(b)

    def _admit(self, k: KernelCalls) -> ir.Block:
        admitted, filtered = (k.b.append_basic_block(name) for name in ("admitted", "filtered"))
        k.b.cbranch(self.admission.admitted(k, self.slots, 0), admitted, filtered)
        k.b.position_at_end(admitted)
        return filtered

    def _tell(self, b: ir.IRBuilder, site: int) -> None:
        """Notes an event; there is room for those of one packet."""
        k = HostCalls(b)
        count = k.load(self.memory, EVENT_COUNT, I64)
        event = k.field(self.memory, b.add(b.mul(count, I64(RUN_EVENT_BYTES)), I64(RUN_EVENTS)))
        k.store(self.index, event, RUN_EVENT_INDEX)
        k.store(I64(site), event, RUN_EVENT_SITE)
        for offset in range(0, layouts.ACTION_BYTES, 8):
            k.store(k.load(self.action, offset, I64), event, RUN_EVENT_ACTION + offset)
        k.store(b.add(count, I64(1)), self.memory, EVENT_COUNT)

    def _count_copies(self, b: ir.IRBuilder) -> None:
        """One for each end-point that gets the packet."""
        k = HostCalls(b)
        selected = k.load(self.action, layouts.SELECTED, I64)
        each, before = b.append_basic_block("each_copy"), b.block
        b.cbranch(b.icmp_unsigned("==", selected, I64(0)), self.store, each)
        b.position_at_end(each)
        rest = b.phi(I64)
        endpoint = b.cttz(rest, ir.IntType(1)(1))
        k.add(k.field(self.memory, b.shl(endpoint, I64(3))), COPIES)
        following = b.and_(rest, b.sub(rest, I64(1)))
        rest.add_incoming(selected, before)
        rest.add_incoming(following, each)
        b.cbranch(b.icmp_unsigned("==", following, I64(0)), self.store, each)

    def _read(self, b: ir.IRBuilder, decide: ir.Block) -> None:
        k = HostCalls(b)
        frame = as_pointer(b, loaded(b, self.record, RECORD_FIELDS["data"]))
        whole = loaded(b, self.record, RECORD_FIELDS["caplen"])
        near = b.select(b.icmp_unsigned("<", whole, I64(HEADER_WINDOW)), whole, I64(HEADER_WINDOW))
        window = RunWindow(frame, near, self.record, self.data, whole, self.memory)
        if self.admission:
            AdmissionCode(b, self.facts, self.slots, window).emit_filters(self.admission, k, self.data)
            wanted = b.append_basic_block("wanted")
            b.cbranch(self.admission.admitted(k, self.slots, 0), wanted, decide)
            b.position_at_end(wanted)
        HeaderCode(b, self.facts, self.slots, window).emit()
        b.branch(decide)

    def _another(self, b: ir.IRBuilder, read: ir.Block) -> None:
        """To the next record, while there is one and room for what the program tells of it."""
        more = b.icmp_unsigned("<", self.index, self.count)
        if self.plan.sites:
            events = HostCalls(b).load(self.memory, EVENT_COUNT, I64)
            more = b.and_(more, b.icmp_unsigned("<=", events, I64(EVENTS_ROOM - MAX_EVENTS)))
        b.cbranch(more, read, self.end)

    def _go_on(self, loop: ir.Block) -> None:
        """Stores the verdict and goes to the next record."""
        b = ir.IRBuilder(self.store)
        k, wanted = HostCalls(b), b.append_basic_block("wanted_verdict")
        b.cbranch(b.icmp_unsigned("==", self.verdicts, NULL), self.next, wanted)
        b.position_at_end(wanted)
        place = b.gep(self.verdicts, [b.mul(self.index, I64(VERDICT_BYTES))], source_etype=I8)
        mark, state, kernel = (
            b.zext(k.load(self.action, offset, I32), I64) for offset in (layouts.MARK, layouts.STATE, layouts.KERNEL)
        )
        for name, word in (
            ("endpoints", k.load(self.action, layouts.SELECTED, I64)),
            ("mark", b.or_(mark, b.shl(state, I64(32)))),
            ("outcome", b.or_(k.load(self.outcome, 0, I64), b.shl(kernel, I64(16)))),
        ):
            k.store(word, place, _VERDICT[name])
        b.branch(self.next)
        b.position_at_end(self.next)
        self.done = b.add(self.index, I64(1))
        self.index.add_incoming(self.done, self.next)
        enough = b.icmp_unsigned("==", k.load(self.left, 0, I64), I64(0))
        b.cbranch(enough, self.end, loop)

    def _finish(self, b: ir.IRBuilder, loop: ir.Block) -> None:
        """Adds to the counters what was counted in this run."""
        k, done = HostCalls(b), b.phi(I64)
        done.add_incoming(self.index, loop)
        done.add_incoming(self.done, self.next)
        for word in range(LOCAL_WORDS):
            total = b.add(k.load(self.memory, 8 * word, I64), k.load(self.counters, 8 * word, I64))
            k.store(total, self.memory, 8 * word)
        b.ret(done)
