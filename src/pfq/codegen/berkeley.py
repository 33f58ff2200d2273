"""The code that runs Berkeley packet filters: classic BPF as LLVM IR, one block for each instruction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir

from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I8, I16, I32, I64
from pfq.codegen.reading import HostReach, Window
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.bytecode import OPERATIONS, Instruction, targets
from pfq.lang.packet import HEADER_WINDOW

State = dict[str | int, ir.Value]
"""The registers "a" and "x", and the cells of the memory that the filter uses, by number (all i32)."""

_KINDS = {1: I8, 2: I16, 4: I32}
_SIGNS = {"eq": "==", "gt": ">", "ge": ">="}
_WORD = (1 << 32) - 1
_METHODS = {"div": "udiv", "mod": "urem", "or": "or_", "and": "and_"}


ANEW = (("return", "k"), *(("load", size) for size in _KINDS), *(("load from x", size) for size in _KINDS))
"""Operations that do not care what was in register a."""


class Alternative(NamedTuple):
    """What is compared second (i32), whether it is there (i1), what with, and where to go on when it differs."""

    value: ir.Value
    there: ir.Value
    wanted: int
    otherwise: int
    state: State


class BerkeleyCode:
    """Emits filters, which see the frame as it was on the wire.

    filters  all that will be emitted
    whole    they see all of the frame; otherwise its header window
    """

    def __init__(self, b: ir.IRBuilder, window: Window, filters: Sequence[BerkeleyFilter], whole: bool = False) -> None:
        self.b = b
        self.window = window
        self.whole = whole
        self.reach = window.wire(b)
        codes = {instruction.code for each in filters for instruction in each.instructions}
        asks_length = any(OPERATIONS[code][0] == "length" for code in codes)
        self.length = b.trunc(window.length(b), I32) if asks_length else I32(0)

    def emit(self, wanted: BerkeleyFilter) -> ir.Value:
        """1 when the filter accepts the frame, otherwise 0 (i64); code goes on behind."""
        self.largest: dict[int, tuple[ir.Value, int]] = {}
        self.blocks: dict[int, ir.Block] = {}
        self.arrivals: dict[int, list[tuple[ir.Block, State]]] = defaultdict(list)
        self.program = wanted.instructions
        self.sources = Counter(target for at, each in enumerate(self.program) for target in targets(at, each))
        self.accept, self.reject, done = (self.b.append_basic_block(f"filter_{end}") for end in ("yes", "no", "done"))
        cells = {each.k for each in wanted.instructions if OPERATIONS[each.code][0] == "keep"}
        self.b.branch(self._arrive(0, dict.fromkeys(("a", "x", *sorted(cells)), I32(0))))
        for at, instruction in enumerate(wanted.instructions):
            if at in self.arrivals:
                self._instruction(at, instruction, self._enter(at))
        for end in (self.accept, self.reject):
            ir.IRBuilder(end).branch(done)
        self.b.position_at_end(done)
        result = self.b.phi(I64)
        result.add_incoming(I64(1), self.accept)
        result.add_incoming(I64(0), self.reject)
        return result

    def _arrive(self, at: int, state: State) -> ir.Block:
        """The block of an instruction, to which control will come from here with these values."""
        self.arrivals[at].append((self.b.block, state))
        if at not in self.blocks:
            self.blocks[at] = self.b.append_basic_block("bpf")
        return self.blocks[at]

    def _enter(self, at: int) -> State:
        """Goes on at the block of an instruction, where all who arrive there join."""
        self.b.position_at_end(self.blocks[at])
        arrivals = self.arrivals[at]
        (_, first), *others = arrivals
        joined = dict(first)
        for name, value in first.items():
            if any(state[name] is not value for _, state in others):
                joined[name] = self.b.phi(I32)
                for block, state in arrivals:
                    joined[name].add_incoming(state[name], block)
                self._bound(joined[name], max(self._most(state[name]) for _, state in arrivals))
        return joined

    def _instruction(self, at: int, instruction: Instruction, state: State) -> None:
        _, jt, jf, k = instruction
        operand = {"k": I32(k), **state}
        match OPERATIONS[instruction.code]:
            case "return", "k":
                self.b.branch(self.accept if k else self.reject)
                return
            case "return", _:
                self.b.cbranch(self._is_zero(state["a"]), self.reject, self.accept)
                return
            case "branch", test, source:
                condition = self._test(test, state["a"], operand[source])
                if test == "eq" and (second := self._alternative(at, state)):
                    self._either(condition, second, self._arrive(at + 1 + jt, state))
                    return
                self.b.cbranch(condition, self._arrive(at + 1 + jt, state), self._arrive(at + 1 + jf, state))
                return
            case ("jump",):
                self.b.branch(self._arrive(at + 1 + k, state))
                return
            case "load", size:
                state["a"] = self._load(I64(k), size, k)
            case "load from x", size:
                offset = self.b.add(self.b.zext(state["x"], I64), I64(k))
                state["a"] = self._load(offset, size, self._most(state["x"]) + k)
            case ("load header size",):
                size_in_words = self.b.and_(self._load(I64(k), 1, k), I32(15))
                state["x"] = self._bound(self.b.shl(size_in_words, I32(2)), 60)
            case "compute", operation, source:
                most = self._most_computed(operation, self._most(state["a"]), operand[source])
                state["a"] = self._bound(self._compute(operation, state["a"], operand[source]), most)
            case ("negate",):
                state["a"] = self.b.neg(state["a"])
            case ("a to x",):
                state["x"] = state["a"]
            case ("x to a",):
                state["a"] = state["x"]
            case "keep", register:
                state[k] = state[register]
            case "fetch", register:
                state[register] = state[k]
            case "constant", register:
                state[register] = I32(k)
            case "length", register:
                state[register] = self.length
        self.b.branch(self._arrive(at + 1, state))

    def _alternative(self, at: int, state: State) -> Alternative | None:
        """The second half of `a == k or b == k`, which `port` and `host` mean, when the first is at a place.

        None in the kernel too, where each access needs a branch of its own.
        """
        here, program = at + 1 + self.program[at].jf, self.program
        if not isinstance(self.reach, HostReach) or here + 1 >= len(program):
            return None
        load, test = program[here], program[here + 1]
        accepted = at + 1 + program[at].jt
        forgets = OPERATIONS[program[accepted].code] in ANEW
        same = OPERATIONS[test.code] == ("branch", "eq", "k") and here + 2 + test.jt == accepted
        if not (same and forgets and self.sources[here] == self.sources[here + 1] == 1):
            return None
        match OPERATIONS[load.code]:
            case "load", size:
                offset, most = I64(load.k), load.k
            case "load from x", size:
                offset, most = self.b.add(self.b.zext(state["x"], I64), I64(load.k)), self._most(state["x"]) + load.k
            case _:
                return None
        if most > HEADER_WINDOW - size:
            return None
        place, there = self.reach.peek(self.b, offset, size)
        value = self._in_network_order(self.b.load(place, typ=_KINDS[size], align=1), size)
        return Alternative(value, there, test.k, here + 2 + test.jf, state)

    def _either(self, first: ir.Value, second: Alternative, accepted: ir.Block) -> None:
        """One branch for both: no machine can foretell which end of a connection a packet comes from."""
        b, k = self.b, KernelCalls(self.b)
        equal = b.and_(second.there, b.icmp_unsigned("==", second.value, I32(second.wanted)))
        # Opaque, for LLVM makes two branches of an `or`.
        both = b.or_(*(k.opaque(b.zext(truth, I32)) for truth in (first, equal)))
        neither = b.append_basic_block("neither")
        b.cbranch(self._is_zero(both), neither, accepted)
        b.position_at_end(neither)
        b.cbranch(second.there, self._arrive(second.otherwise, {**second.state, "a": second.value}), self.reject)

    def _load(self, offset: ir.Value, size: int, most: int) -> ir.Value:
        """Bytes of the frame in network order; the filter rejects the frame when they are not all there.

        most  what the offset is at most
        """
        last = HEADER_WINDOW - size
        if not self.whole or most <= last:
            return self._in_network_order(self._load_near(offset, size), size)
        if isinstance(offset, ir.Constant):
            return self._in_network_order(self._load_beyond(offset, size), size)
        near, beyond, loaded = (self.b.append_basic_block(f"load_{name}") for name in ("near", "beyond", "done"))
        self.b.cbranch(self.b.icmp_unsigned("<=", offset, I64(last)), near, beyond)
        arrivals = []
        for block, load in ((near, self._load_near), (beyond, self._load_beyond)):
            self.b.position_at_end(block)
            arrivals.append((load(offset, size), self.b.block))
            self.b.branch(loaded)
        self.b.position_at_end(loaded)
        either = self.b.phi(_KINDS[size])
        for value, block in arrivals:
            either.add_incoming(value, block)
        return self._in_network_order(either, size)

    def _load_near(self, offset: ir.Value, size: int) -> ir.Value:
        """As it lies in the header window."""
        last = HEADER_WINDOW - size
        self._continue_if(self.b.icmp_unsigned("<=", offset, I64(last)))
        if isinstance(offset, ir.Constant):
            offset = I64(min(offset.constant, last))
        else:
            offset = self.window.forget(self.b, offset)
        return self.b.load(self.reach(self.b, offset, size, self.reject), typ=_KINDS[size], align=size)

    def _load_beyond(self, offset: ir.Value, size: int) -> ir.Value:
        """As it lies behind the tags."""
        return self.b.load(self.window.beyond(self.b, offset, size, self.reject), typ=_KINDS[size], align=size)

    def _in_network_order(self, loaded: ir.Value, size: int) -> ir.Value:
        if size == 1:
            return self._bound(self.b.zext(loaded, I32), 0xFF)
        number = self.b.bswap(loaded)
        return number if size == 4 else self._bound(self.b.zext(number, I32), 0xFFFF)

    def _bound(self, value: ir.Value, most: int) -> ir.Value:
        """Notes what a value is at most, which saves a load a second way."""
        self.largest[id(value)] = value, min(most, _WORD)
        return value

    def _most(self, value: ir.Value) -> int:
        if isinstance(value, ir.Constant):
            return int(value.constant)
        return self.largest[id(value)][1] if id(value) in self.largest else _WORD

    def _most_computed(self, operation: str, a: int, operand: ir.Value) -> int:
        """What the result of an operation is at most, when its first operand is at most `a`."""
        most = self._most(operand)
        match operation:
            case "and":
                return min(a, most)
            case "add":
                return a + most
            case "or" | "xor":
                return (1 << max(a, most).bit_length()) - 1
            case "lsh" if isinstance(operand, ir.Constant) and most < 32:
                return a << most
            case "rsh" | "div" | "mod":
                return a
            case _:
                return _WORD

    def _compute(self, operation: str, a: ir.Value, operand: ir.Value) -> ir.Value:
        if operation in ("lsh", "rsh"):
            shifted = self.b.shl(a, operand) if operation == "lsh" else self.b.lshr(a, operand)
            return self.b.select(self.b.icmp_unsigned("<", operand, I32(32)), shifted, I32(0))
        if operation in ("div", "mod"):
            self._continue_if(self.b.not_(self._is_zero(operand)))
        return getattr(self.b, _METHODS.get(operation, operation))(a, operand)

    def _test(self, test: str, a: ir.Value, operand: ir.Value) -> ir.Value:
        if test == "set":
            return self.b.not_(self._is_zero(self.b.and_(a, operand)))
        return self.b.icmp_unsigned(_SIGNS[test], a, operand)

    def _is_zero(self, value: ir.Value) -> ir.Value:
        return self.b.icmp_unsigned("==", value, I32(0))

    def _continue_if(self, condition: ir.Value) -> None:
        go_on = self.b.append_basic_block("go_on")
        self.b.cbranch(condition, go_on, self.reject)
        self.b.position_at_end(go_on)
