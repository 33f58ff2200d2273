"""The emitter: lowering functions speak to it, it writes LLVM IR for one group's program."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.facts import AddressHash, Bytes, Fact, Facts, Fragment, Present, Protocol, Version
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I1, I8, I32, I64
from pfq.codegen.places import Nowhere
from pfq.lang.action import DEFAULT_CLASSES, Fanout
from pfq.lang.program import Call, Chain, Prefix

ADDRESS_OFFSETS = {4: {"src": 12, "dst": 16}, 6: {"src": 8, "dst": 24}}


def start_action(b: ir.IRBuilder, record: ir.Value) -> None:
    """The action of a packet that no program has seen: a copy to class 0. The mark is left."""
    b.store(I64(DEFAULT_CLASSES), b.gep(record, [I64(layouts.CLASSES)], source_etype=I8), align=8)
    for offset, value in (
        (layouts.FANOUT, Fanout.COPY),
        (layouts.HASH, 0),
        (layouts.HASH2, 0),
        (layouts.STATE, 0),
        (layouts.KERNEL, 0),
    ):
        b.store(I32(value), b.gep(record, [I64(offset)], source_etype=I8), align=4)


class CodeEmitter:
    """Implements `pfq.lang.prims.emitter.Emitter`.

    record    pointer to the action (`layouts`, from CLASSES on)
    slots     pointer to the fact slots
    counters  pointer to the group's 64 user counters
    used      the fan-outs and sets of classes that the program can leave behind
    """

    def __init__(
        self,
        builder: ir.IRBuilder,
        facts: Facts,
        places: Nowhere,
        *,
        record: ir.Value,
        slots: ir.Value,
        counters: ir.Value,
    ) -> None:
        self.b = builder
        self.facts = facts
        self.places = places
        self.record = record
        self.slots = slots
        self.counters = counters
        self.fanouts = {Fanout.COPY}
        self.class_sets = {DEFAULT_CLASSES}
        self._drop_targets: list[ir.Block] = []

    def program(self, chain: Chain, end: ir.Block) -> None:
        """The whole program; control reaches `end` whether the packet was dropped or not."""
        self._drop_targets.append(end)
        self.run(chain)
        self._drop_targets.pop()
        self.b.branch(end)

    # memory

    def _field(self, base: ir.Value, offset: int) -> ir.Value:
        return self.b.gep(base, [I64(offset)], source_etype=I8)

    def _store(self, offset: int, value: ir.Value, kind: ir.IntType = I32) -> None:
        number = value if value.type == kind else self.b.trunc(value, kind)
        self.b.store(number, self._field(self.record, offset), align=kind.width // 8)

    def _load(self, offset: int, kind: ir.IntType = I32) -> ir.Value:
        return self.b.load(self._field(self.record, offset), typ=kind, align=kind.width // 8)

    def _fact(self, fact: Fact) -> ir.Value:
        return self.b.load(self._field(self.slots, self.facts.slot(fact) * 8), typ=I64, align=8)

    # header fields

    def is_ip(self, version: int) -> ir.Value:
        return self.compare("==", self._fact(Version()), I64(version))

    def is_fragment(self) -> ir.Value:
        return self.compare("!=", self._fact(Fragment()), I64(0))

    def has_l4(self, size: int) -> ir.Value:
        return self.compare("!=", self._fact(Present("l4", size)), I64(0))

    def l4_proto(self) -> tuple[ir.Value, ir.Value]:
        found = self._fact(Protocol())
        return self.compare("!=", found, I64(0)), self.b.sub(found, I64(1))

    def load_raw(self, layer: str, offset: int, size: int) -> ir.Value:
        return self._fact(Bytes(layer, offset, size))  # type: ignore[arg-type]

    def load(self, layer: str, offset: int, size: int) -> ir.Value:
        raw = self.load_raw(layer, offset, size)
        if size == 1:
            return raw
        kind = ir.IntType(size * 8)
        return self.b.zext(self.b.bswap(self.b.trunc(raw, kind)), I64) if size < 8 else self.b.bswap(raw)

    def address_in(self, side: str, prefix: Prefix) -> ir.Value:
        layer = f"ip{prefix.version}"
        offset = ADDRESS_OFFSETS[prefix.version][side]
        mask = prefix.network.netmask.packed
        hit = self.is_ip(prefix.version)
        for at in range(0, len(mask), 4):
            bits = int.from_bytes(mask[at : at + 4], "little")
            if bits:
                wanted = int.from_bytes(prefix.bytes[at : at + 4], "little")
                word = self.b.and_(self.load_raw(layer, offset + at, 4), I64(bits))
                hit = self.both(hit, self.compare("==", word, I64(wanted)))
        return hit

    def address_hash(self, side: str) -> ir.Value:
        return self._fact(AddressHash(side))

    # numbers and truths

    def number(self, value: int) -> ir.Value:
        return I64(value)

    def truth(self, value: bool) -> ir.Value:
        return I1(int(value))

    def both(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.and_(a, b)

    def either(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.or_(a, b)

    def negated(self, a: ir.Value) -> ir.Value:
        return self.b.xor(a, I1(1))

    def differ(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.xor(a, b)

    def compare(self, operator: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.icmp_unsigned(operator, a, b)

    def xor(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.b.xor(a, b)

    def bits(self, a: ir.Value, mask: ir.Value) -> ir.Value:
        return self.b.and_(a, mask)

    def lazily(self, cond: ir.Value, then: Callable[[], ir.Value], other: Callable[[], ir.Value]) -> ir.Value:
        with self.b.if_else(cond) as (yes, no):
            with yes:
                if_true, true_block = then(), self.b.block
            with no:
                if_false, false_block = other(), self.b.block
        result = self.b.phi(I1)
        result.add_incoming(if_true, true_block)
        result.add_incoming(if_false, false_block)
        return result

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
            KernelCalls(self.b).barrier()

    # control

    def branch(self, cond: ir.Value, then: Callable[[], None], other: Callable[[], None]) -> None:
        with self.b.if_else(cond) as (yes, no):
            with yes:
                then()
            with no:
                other()

    def drop(self) -> None:
        self._store(layouts.FANOUT, I32(Fanout.DROP))
        self.b.branch(self._drop_targets[-1])
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
        self.fanouts.add(kind)
        self._store(layouts.FANOUT, I32(kind))
        for offset, value in ((layouts.HASH, hash), (layouts.HASH2, hash2)):
            if value is not None:
                self._store(offset, value)

    def saved_fanout(self) -> Callable[[], None]:
        words = {offset: self._load(offset) for offset in (layouts.FANOUT, layouts.HASH, layouts.HASH2)}
        classes = self._load(layouts.CLASSES, I64)

        def restore() -> None:
            for offset, word in words.items():
                self._store(offset, word)
            self._store(layouts.CLASSES, classes, I64)

        return restore

    def classes(self, mask: int) -> None:
        self.class_sets.add(mask)
        self._store(layouts.CLASSES, I64(mask), I64)

    def to_kernel(self) -> None:
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
        place = self._field(self.counters, index * 8)
        self.b.store(self.b.add(self.b.load(place, typ=I64, align=8), I64(step)), place, align=8)
