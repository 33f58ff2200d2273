"""The emitter: lowering functions speak to it, it writes LLVM IR for one group's program."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.arithmetic import Surroundings
from pfq.codegen.data import DataPlan
from pfq.codegen.facts import Facts, Ingress
from pfq.codegen.keeping import Keeping
from pfq.codegen.llvm import I1, I8, I16, I32, I64
from pfq.codegen.places import Nowhere
from pfq.lang.action import DEFAULT_CLASSES, MAX_EVENTS, MAX_FORWARDS, Event, EventKind, Fanout
from pfq.lang.program import Call, Chain


def start_action(b: ir.IRBuilder, record: ir.Value) -> None:
    """The action of a packet that no program has seen: a copy to class 0. The mark is left.

    The hash is behind the fan-out and passing up behind the state: each pair is written in one go. All of them lie
    at multiples of 8 bytes, and LLVM writes faster when it knows.
    """
    for offset, value in (
        (layouts.CLASSES, I64(DEFAULT_CLASSES)),
        (layouts.FANOUT, I64(Fanout.COPY)),
        (layouts.HASH2, I32(0)),
        (layouts.STATE, I64(0)),
    ):
        b.store(value, b.gep(record, [I64(offset)], source_etype=I8), align=8)


def start_packet(b: ir.IRBuilder, record: ir.Value) -> None:
    """What groups add to, one after the other, is empty."""
    for offset in (layouts.FORWARD_COUNT, layouts.EVENT_COUNT):
        b.store(I32(0), b.gep(record, [I64(offset)], source_etype=I8), align=4)


class CodeEmitter(Keeping):
    """Implements `pfq.lang.prims.emitter.Emitter`.

    fanouts     the fan-outs that packets can have where the code has got to, but for DROP
    class_sets  the sets of classes that the program can leave behind
    forwards    whether it can forward packets
    passes_up   whether it can pass packets up to Linux
    """

    def __init__(
        self, builder: ir.IRBuilder, facts: Facts, plan: DataPlan, places: Nowhere, around: Surroundings
    ) -> None:
        super().__init__(builder, around, facts, plan)
        self.places = places
        self.forwards = self.passes_up = False
        self.fanouts = {Fanout.COPY}
        self.class_sets = {DEFAULT_CLASSES}
        self._drop_targets: list[ir.Block] = []

    def program(self, chain: Chain, kept: ir.Block, dropped: ir.Block) -> None:
        """The whole program; control reaches `kept` or `dropped`."""
        self._drop_targets.append(dropped)
        self.run(chain)
        self._drop_targets.pop()
        self.b.branch(kept)

    # where the program looks

    def facing(self, sides: tuple[str, ...], body: Callable[[], None]) -> None:
        before, self.sides = self.sides, sides
        body()
        self.sides = before

    def deeper(self, body: Callable[[], None]) -> None:
        self.level += 1
        body()
        self.level -= 1

    # arguments that are programs

    def test(self, predicate: Call) -> ir.Value:
        with self.places.at(self.b, predicate.span):
            result: ir.Value = predicate.prim.lower(self, *predicate.args)
            return result

    def value(self, prop: Call) -> tuple[ir.Value, ir.Value]:
        with self.places.at(self.b, prop.span):
            present, value = prop.prim.lower(self, *prop.args)
            return present, value

    def run(self, chain: Chain) -> None:
        for call in chain.calls:
            with self.places.at(self.b, call.span):
                call.prim.lower(self, *call.args)
            # What one call learned of a field is forgotten here. Otherwise the verifier would follow
            # each outcome to the end of the program, and LLVM would evaluate the conditions of all
            # calls together and run out of stack.
            self.k.barrier()

    # control

    def branch(self, cond: ir.Value, then: Callable[[], None], other: Callable[[], None]) -> None:
        yes, no, end = (self.b.append_basic_block(name) for name in ("then", "other", "end"))
        self.jump(cond, yes, no)
        before, after = self.fanouts, set[Fanout]()
        for block, body in ((yes, then), (no, other)):
            self.b.position_at_end(block)
            self.fanouts = before
            body()
            after |= self.fanouts
            self.b.branch(end)
        self.fanouts = after
        self.b.position_at_end(end)

    def drop(self) -> None:
        self._store(layouts.FANOUT, I32(Fanout.DROP))
        self.b.branch(self._drop_targets[-1])
        self.fanouts = set()
        # What the caller emits next is never reached; LLVM removes it.
        self.b.position_at_end(self.b.append_basic_block("after_drop"))

    def attempt(self, body: Callable[[], None]) -> ir.Value:
        dropped = self.b.append_basic_block("dropped")
        join = self.b.append_basic_block("attempted")
        self._drop_targets.append(dropped)
        body()
        self._drop_targets.pop()
        passed = self.b.block
        self.b.branch(join)
        self.b.position_at_end(dropped)
        self.b.branch(join)
        self.b.position_at_end(join)
        result = self.b.phi(I1)
        result.add_incoming(I1(1), passed)
        result.add_incoming(I1(0), dropped)
        return result

    # the action

    def fanout(self, kind: Fanout, hash: ir.Value | None = None, hash2: ir.Value | None = None) -> None:
        self.fanouts = {kind}
        self._store(layouts.FANOUT, I32(kind))
        for offset, value in ((layouts.HASH, hash), (layouts.HASH2, hash2)):
            if value is not None:
                self._store(offset, value)

    def saved_fanout(self) -> Callable[[], None]:
        words = {offset: self._load(offset) for offset in (layouts.FANOUT, layouts.HASH, layouts.HASH2)}
        classes = self._load(layouts.CLASSES, I64)
        fanouts = self.fanouts

        def restore() -> None:
            self.fanouts = fanouts
            for offset, word in words.items():
                self._store(offset, word)
            self._store(layouts.CLASSES, classes, I64)

        return restore

    def classes(self, mask: int) -> None:
        self.class_sets.add(mask)
        self._store(layouts.CLASSES, I64(mask), I64)

    def forward(self, device: str) -> None:
        self.plan.needed.add(device)
        self._list_forward(self.plan.device(device))

    def forward_elsewhere(self, device: str) -> None:
        number = self.plan.device(device)
        index = self.b.zext(self.k.load(self.around.devices, 4 * number, I32), I64)
        absent, here = self.compare("==", index, I64(0)), self.compare("==", index, self._fact(Ingress()))
        self.branch(self.either(absent, here), lambda: None, lambda: self._list_forward(number))

    def _list_forward(self, number: int) -> None:
        self.forwards = True
        item = ir.Constant(I16, number | self.around.place << 8)
        self._append(layouts.FORWARD_COUNT, layouts.FORWARDS, MAX_FORWARDS, item)

    def report(self, kind: EventKind, text: str = "") -> None:
        site = self.plan.site(Event(kind, text))
        tell = self.around.tell

        def told() -> None:
            if tell is not None:
                tell(self.b, site)

        self._append(layouts.EVENT_COUNT, layouts.EVENTS, MAX_EVENTS, ir.Constant(I8, site), told)

    def _append(
        self, count_at: int, list_at: int, limit: int, item: ir.Value, then: Callable[[], None] = lambda: None
    ) -> None:
        """Appends to a list of the record, when there is room, and emits what follows then."""
        count = self._load(count_at)
        with self.b.if_then(self.b.icmp_unsigned("<", count, I32(limit))):
            width = item.type.width // 8
            place = self.b.and_(self.k.opaque(self.b.zext(count, I64)), I64(limit - 1))
            self.k.store(item, self.k.field(self.record, self.b.mul(place, I64(width))), list_at)
            self._store(count_at, self.b.add(count, I32(1)))
            then()

    def to_kernel(self) -> None:
        self.passes_up = True
        self._store(layouts.KERNEL, I32(1))

    def set_mark(self, value: ir.Value) -> None:
        self._store(layouts.MARK, value)

    def mark(self) -> ir.Value:
        return self.b.zext(self._load(layouts.MARK), I64)

    def set_state(self, value: ir.Value) -> None:
        self._store(layouts.STATE, value)

    def state(self) -> ir.Value:
        return self.b.zext(self._load(layouts.STATE), I64)

    def count(self, index: int, step: int) -> None:
        place = self._field(self.around.counters, index * 8)
        self.b.store(self.b.add(self.b.load(place, typ=I64, align=8), I64(step)), place, align=8)
