"""The program of a device: all its groups fused, headers read once for all of them.

    read headers ──► group 0 ──► settle ──► group 1 ──► settle ──► … ──► time ──► deliver ──► verdict

To settle a group is to count it and to turn its action into a set of end-points, with the
steering table of the group. What one group leaves for the next lies in memory whose content the
verifier does not follow, so that its work grows with the sum of the groups, not the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.deliver import Delivery
from pfq.codegen.emitter import CodeEmitter, start_action
from pfq.codegen.facts import Facts
from pfq.codegen.headers import HeaderCode
from pfq.codegen.hooks import HookCode, KernelWindow, hook_code
from pfq.codegen.kernel_calls import Helper, KernelCalls
from pfq.codegen.llvm import I32, I64, PTR, bpf_machine, new_module, optimised, parsed
from pfq.codegen.memory import DeviceMemory, RingShape
from pfq.codegen.places import Places
from pfq.codegen.settle import Settlement
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.errors import TooBigError
from pfq.lang.program import Program

ENTRY, DELIVER = "pfq", "deliver"
LEVEL = 1
"""A level more takes LLVM 6 ms longer, and the program is as fast."""
MAX_LINES = 24_000
"""Beyond, a jump might reach further than the 32,767 instructions that eBPF can express."""


class Clock(Enum):
    """Where time stamps come from."""

    NS = "ns"
    """the kernel's clock, to the nanosecond: the largest single cost of a packet"""
    COARSE = "coarse"
    """the kernel's clock at its last tick, 1 to 10 ms old"""
    NONE = "none"
    """time stamps are 0"""


CLOCK_HELPERS = {Clock.NS: Helper.KTIME_GET_TAI_NS, Clock.COARSE: Helper.KTIME_GET_COARSE_NS}


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a device: its number and its program."""

    number: int
    program: Program


@dataclass(frozen=True, slots=True)
class Device:
    """What to generate.

    groups   in ascending number
    inline   packets of the device go to Linux only when a program says so; otherwise all do
    deliver  False leaves the actions in the scratch memory and copies nothing (for tests)
    ordered  the machine's stores become visible in their order, as on x86; otherwise packets are
             published by an atomic exchange, which costs more
    linear   XDP frames lie in one buffer each; saves a call for each packet, but the kernel then
             refuses large MTUs
    """

    hook: Hook
    groups: tuple[Group, ...]
    cpus: int
    rings: RingShape
    clock: Clock = Clock.NS
    inline: bool = False
    deliver: bool = True
    ordered: bool = True
    linear: bool = False


@dataclass(frozen=True, slots=True)
class SteeringSet:
    """Which members a steering table must hold: those of `group` in one of the classes of the mask."""

    group: int
    classes: int


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A compiled device; `sets[i]` is what element i of the steering map is for."""

    object: ObjectSpec
    memory: DeviceMemory
    sets: tuple[SteeringSet, ...]
    ir: str

    def assembly(self) -> str:
        """The program in the assembly language of eBPF."""
        return str(bpf_machine().emit_assembly(parsed(self.ir)))


def compile_device(device: Device) -> DeviceCode:
    """The program of a device, ready to be loaded."""
    return _DeviceCompiler(device).compile()


class _DeviceCompiler:
    """Generates the module of one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.module = new_module("pfq", bpf_machine())
        self.places = Places(self.module)
        self.sets: list[SteeringSet] = []

    def compile(self) -> DeviceCode:
        """The object, and what the engine needs to know to fill its maps."""
        hook = hook_code(self.device.hook, self.device.linear)
        entry = self._function(ENTRY, hook)
        if self.device.deliver:
            self._delivery(hook, self._memory())
        self.places.scope(entry)
        self._entry(entry, hook)
        memory = self._memory()
        self.places.finish()
        machine = bpf_machine()
        optimal = optimised(self.module, machine, LEVEL)
        text = str(optimal)
        if (lines := text.count("\n")) > MAX_LINES:
            raise TooBigError(
                f"the program is too large: {lines:,} lines of LLVM IR, of at most {MAX_LINES:,}",
                hint="split it, or replace long lists of alternatives by a prefix",
            )
        spec = ObjectSpec(
            elf=machine.emit_object(optimal),
            entry=ENTRY,
            hook=self.device.hook,
            maps=memory.maps(),
            places=tuple(self.places.spans),
            frags=not self.device.linear,
        )
        return DeviceCode(spec, memory, tuple(self.sets), text)

    def _memory(self) -> DeviceMemory:
        return DeviceMemory(self.device.cpus, len(self.device.groups), len(self.sets), self.device.rings)

    def _function(self, name: str, hook: type[HookCode], words: Sequence[str] = ()) -> ir.Function:
        function = ir.Function(self.module, ir.FunctionType(I32, [PTR, *(I32 for _ in words)]), name)
        for argument, argument_name in zip(function.args, ("ctx", *words), strict=True):
            argument.name = argument_name
        function.attributes.add("noinline")
        function.section = self.device.hook.value
        self.places.function(function, hook.struct, words)
        return function

    def _delivery(self, hook: type[HookCode], memory: DeviceMemory) -> None:
        function = self._function(DELIVER, hook, ("endpoint",))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.places.start(builder)
        code = hook(builder, function.args[0])
        groups = [group.number for group in self.device.groups]
        Delivery(code, function.args[1], memory, self.device.ordered).emit(groups)

    # the entry function

    def _entry(self, function: ir.Function, hook: type[HookCode]) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.places.start(builder)
        code = hook(builder, function.args[0])
        k = code.k
        memory = self._memory()
        cpu = k.cpu()
        scratch = memory.scratch(k, cpu)
        facts = Facts()
        decide, finish = (function.append_basic_block(name) for name in ("decide", "finish"))
        at_decide = ir.IRBuilder(decide)
        self.places.start(at_decide)
        for index in range(len(self.device.groups)):
            self._group(index, at_decide, facts, memory, cpu)
        at_decide.branch(finish)
        if facts.slots:
            code.prepare()
            window = KernelWindow(code, k.field(scratch, layouts.TIME))
            HeaderCode(builder, facts, k.field(scratch, layouts.FACTS), window).emit()
            k.barrier()
        builder.branch(decide)
        builder.position_at_end(finish)
        self._finish(code, scratch)

    def _group(self, index: int, b: ir.IRBuilder, facts: Facts, memory: DeviceMemory, cpu: ir.Value) -> None:
        """Decides and settles one group; `b` goes on behind it."""
        k, group = KernelCalls(b), self.device.groups[index]
        scratch = memory.scratch(k, cpu)
        mine = k.field(memory.counters(k, cpu), index * layouts.GROUP_COUNTER_BYTES)
        if index == 0:
            k.store(I32(0), scratch, layouts.MARK)
            k.store(I32(0), scratch, layouts.PASSED_UP)
            k.store(I64(0), scratch, layouts.SELECTED)
        k.add(mine, layouts.ARRIVED)
        start_action(b, scratch)
        emitter = CodeEmitter(
            b,
            facts,
            self.places,
            record=scratch,
            slots=k.field(scratch, layouts.FACTS),
            counters=k.field(mine, layouts.USER_COUNTERS),
        )
        end = b.append_basic_block("decided")
        emitter.program(group.program.main, end)
        b.position_at_end(end)
        k.barrier()
        Settlement(k, memory, scratch, mine, cpu, index).emit(emitter.fanouts, self._tables(group, emitter.class_sets))
        k.barrier()

    def _tables(self, group: Group, class_sets: set[int]) -> dict[int, int]:
        """A steering table for each set of classes, numbered through over all groups."""
        first = len(self.sets)
        self.sets += [SteeringSet(group.number, mask) for mask in sorted(class_sets)]
        return {steering.classes: number for number, steering in enumerate(self.sets[first:], first)}

    def _finish(self, code: HookCode, scratch: ir.Value) -> None:
        b, k = code.b, code.k
        if self.device.deliver:
            self._deliver(code, scratch)
        if not self.device.inline:
            b.ret(I32(code.go_on))
            return
        wanted = b.icmp_unsigned("!=", k.load(scratch, layouts.PASSED_UP, I32), I32(0))
        b.ret(b.select(wanted, I32(code.go_on), I32(code.drop)))

    def _deliver(self, code: HookCode, scratch: ir.Value) -> None:
        b, k = code.b, code.k
        selected = k.load(scratch, layouts.SELECTED, I64)
        start = b.block
        each, done = (b.append_basic_block(name) for name in ("each_endpoint", "delivered"))
        none = b.icmp_unsigned("==", selected, I64(0))
        go_on = b.append_basic_block("some_endpoint")
        b.cbranch(none, done, go_on)
        b.position_at_end(go_on)
        self._take_time(k, scratch)
        start = b.block
        b.branch(each)
        b.position_at_end(each)
        left, count = b.phi(I64), b.phi(I32)
        rest = b.and_(left, b.sub(left, I64(1)))
        # Its number is the count of the bits below it. LLVM would see through that and count the
        # trailing zeros with a table in a section of its own, which a program cannot have.
        below = k.opaque(b.sub(b.xor(left, rest), I64(1)))
        endpoint = b.trunc(b.ctpop(below), I32)
        b.call(self.module.get_global(DELIVER), [code.ctx, endpoint])
        next_count = b.add(count, I32(1))
        for phi, first, following in ((left, selected, rest), (count, I32(0), next_count)):
            phi.add_incoming(first, start)
            phi.add_incoming(following, each)
        # The count is for the verifier, which must see that this ends.
        more = b.and_(b.icmp_unsigned("!=", rest, I64(0)), b.icmp_unsigned("<", next_count, I32(layouts.MAX_ENDPOINTS)))
        b.cbranch(more, each, done)
        b.position_at_end(done)

    def _take_time(self, k: KernelCalls, scratch: ir.Value) -> None:
        if self.device.clock is Clock.NONE:
            k.store(I64(0), scratch, layouts.TIME)
            return
        now = k.call(CLOCK_HELPERS[self.device.clock])
        offset = k.load(k.map(layouts.CONFIG_MAP), layouts.CLOCK_OFFSET, I64)
        k.store(k.b.add(now, offset), scratch, layouts.TIME)
