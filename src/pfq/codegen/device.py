"""The program of a device: all its groups fused, headers read once for all of them.

    filters ──► read headers ──► group 0 ──► settle ──► group 1 ──► settle ──► … ──► deliver ──► forward ──► verdict

The filters of all groups come first; headers are not read when none admits the frame. To settle a
group is to count it and to turn its action into a set of end-points, with the steering table of the
group. What one group leaves for the next lies in memory whose content the verifier does not follow,
so that its work grows with the sum of the groups, not the product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.admission import Admission, AdmissionCode
from pfq.codegen.arithmetic import Surroundings
from pfq.codegen.data import DataPlan, power_of_two
from pfq.codegen.deliver import Delivery
from pfq.codegen.emitter import CodeEmitter, start_action, start_packet
from pfq.codegen.facts import Fact, Facts
from pfq.codegen.finish import DELIVER, Clock, Finish
from pfq.codegen.headers import HeaderCode
from pfq.codegen.hooks import HookCode, KernelWindow, hook_code
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I32, PTR, bpf_machine, new_module, optimised, parsed
from pfq.codegen.memory import DeviceMemory, RingShape
from pfq.codegen.places import Places
from pfq.codegen.report import Report
from pfq.codegen.settle import Settlement
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.errors import TooBigError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import Filters
from pfq.lang.program import Program

ENTRY, REPORT = "pfq", "report"
LEVEL = 1
"""A level more takes LLVM 6 ms longer, and the program is as fast."""
MAX_LINES = 24_000
"""Beyond, a jump might reach further than the 32,767 instructions that eBPF can express."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a device: its number, its program, and the filters in front of it.

    filter  packets that it rejects do not reach the program
    vlans   nor do those whose VLAN id is not in here, as of `pfq.lang.group.Filters`
    """

    number: int
    program: Program
    filter: BerkeleyFilter | None = None
    vlans: frozenset[int] | None = None

    @property
    def filters(self) -> Filters:
        return Filters(self.filter, self.vlans)


@dataclass(frozen=True, slots=True)
class Device:
    """What to generate.

    groups   in ascending number
    inline   packets of the device go to Linux only when a program says so; otherwise all do
    trial    leaves the actions in the scratch memory, copies and sends nothing, and takes the time from
             the configuration (for tests)
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
    trial: bool = False
    ordered: bool = True
    linear: bool = False


@dataclass(frozen=True, slots=True)
class SteeringSet:
    """Which members a steering table must hold: those of `group` in one of the classes of the mask."""

    group: int
    classes: int


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A compiled device.

    sets  what element i of the steering map is for
    plan  what programs keep, which devices they forward to, what they report
    facts what is read of each packet
    """

    object: ObjectSpec
    memory: DeviceMemory
    sets: tuple[SteeringSet, ...]
    plan: DataPlan
    facts: tuple[Fact, ...]
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
        self.plan = DataPlan(rows=power_of_two(device.cpus))
        self.facts = Facts()
        self.admission = Admission([group.filters for group in device.groups], self.facts, self.plan)
        self.forwards = self.passes_up = False

    def compile(self) -> DeviceCode:
        """The object, and what the engine needs to know to fill its maps."""
        hook = hook_code(self.device.hook, self.device.linear)
        entry = self._function(ENTRY, hook)
        if not self.device.trial:
            self._delivery(hook, self._memory())
        self.places.scope(entry)
        self._entry(entry, hook)
        memory = self._memory()
        if memory.events:
            self._report(hook, memory)
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
        return DeviceCode(spec, memory, tuple(self.sets), self.plan, tuple(self.facts.slots), text)

    def _memory(self) -> DeviceMemory:
        return DeviceMemory(
            self.device.cpus,
            len(self.device.groups),
            len(self.sets),
            self.device.rings,
            data=self.plan.size,
            events=bool(self.plan.sites) and not self.device.trial,
        )

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

    def _report(self, hook: type[HookCode], memory: DeviceMemory) -> None:
        function = self.module.get_global(REPORT)
        self.places.scope(function)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.places.start(builder)
        Report(hook(builder, function.args[0]), function.args[1], memory).emit()

    def _tell(self, hook: type[HookCode], ctx: ir.Value) -> Callable[[ir.IRBuilder, int], None] | None:
        """Emits calls of the report; the function is declared by the first and gets its body at the end."""
        if self.device.trial:
            return None

        def tell(b: ir.IRBuilder, site: int) -> None:
            if REPORT not in self.module.globals:
                self._function(REPORT, hook, ("site",))
                self.places.scope(b.function)
            b.call(self.module.get_global(REPORT), [ctx, I32(site)])

        return tell

    # the entry function

    def _entry(self, function: ir.Function, hook: type[HookCode]) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.places.start(builder)
        code = hook(builder, function.args[0])
        k = code.k
        memory = self._memory()
        cpu = k.cpu()
        scratch = memory.scratch(k, cpu)
        facts = self.facts
        decide, finish = (function.append_basic_block(name) for name in ("decide", "finish"))
        at_decide = ir.IRBuilder(decide)
        self.places.start(at_decide)
        for index in range(len(self.device.groups)):
            self._group(index, at_decide, facts, memory, cpu, self._tell(hook, code.ctx))
        at_decide.branch(finish)
        if self.forwards or self.plan.sites:
            start_packet(builder, scratch)
        if self.passes_up:
            k.store(I32(0), scratch, layouts.PASSED_UP)
        if facts.slots:
            window = KernelWindow(code, scratch, self.device.trial, facts.need_frame)
            self._read(builder, k, k.field(scratch, layouts.FACTS), window, decide)
            k.barrier()
        builder.branch(decide)
        builder.position_at_end(finish)
        self._finish(code, scratch)

    def _read(self, b: ir.IRBuilder, k: KernelCalls, slots: ir.Value, window: KernelWindow, unread: ir.Block) -> None:
        """Reads what is wanted of the packet; goes to `unread` when the filters leave nobody who wants it."""
        if self.admission:
            data = k.map(layouts.DATA_MAP)
            AdmissionCode(b, self.facts, slots, window).emit_filters(self.admission, k, data)
            k.barrier()
            if self.facts.need_more and (nobody := self.admission.nobody_looks(k, slots)) is not None:
                wanted = b.append_basic_block("wanted")
                b.cbranch(nobody, unread, wanted)
                b.position_at_end(wanted)
        HeaderCode(b, self.facts, slots, window).emit()

    def _group(
        self,
        index: int,
        b: ir.IRBuilder,
        facts: Facts,
        memory: DeviceMemory,
        cpu: ir.Value,
        tell: Callable[[ir.IRBuilder, int], None] | None,
    ) -> None:
        """Decides and settles one group; `b` goes on behind it."""
        k, group = KernelCalls(b), self.device.groups[index]
        scratch = memory.scratch(k, cpu)
        mine = k.field(memory.counters(k, cpu), index * layouts.GROUP_COUNTER_BYTES)
        k.add(mine, layouts.ARRIVED)
        start_action(b, scratch)
        if index == 0:
            k.store(I32(0), scratch, layouts.MARK)
        around = Surroundings(
            record=scratch,
            slots=k.field(scratch, layouts.FACTS),
            counters=k.field(mine, layouts.USER_COUNTERS),
            data=k.map(layouts.DATA_MAP),
            devices=k.field(k.map(layouts.CONFIG_MAP), layouts.DEVICES),
            cpu=memory.row(k, cpu),
            place=index,
            tell=tell,
        )
        filtered = self._admit(k, around.slots, index) if group.filters else None
        emitter = CodeEmitter(b, facts, self.plan, self.places, around)
        kept, dropped = (b.append_basic_block(name) for name in ("kept", "dropped"))
        emitter.program(group.program.main, kept, dropped)
        b.position_at_end(kept)
        self.forwards = self.forwards or emitter.forwards
        self.passes_up = self.passes_up or emitter.passes_up
        settlement = Settlement(k, memory, scratch, mine, cpu, index)
        tables = self._tables(group, emitter.class_sets)
        settlement.emit(dropped, filtered, emitter.fanouts, tables, emitter.passes_up)

    def _admit(self, k: KernelCalls, slots: ir.Value, index: int) -> ir.Block:
        """Goes on when the filters of a group have accepted the frame; where to go on when they have not."""
        admitted, filtered = (k.b.append_basic_block(name) for name in ("admitted", "filtered"))
        k.b.cbranch(self.admission.admitted(k, slots, index), admitted, filtered)
        k.b.position_at_end(admitted)
        return filtered

    def _tables(self, group: Group, class_sets: set[int]) -> dict[int, int]:
        """A steering table for each set of classes, numbered through over all groups."""
        first = len(self.sets)
        self.sets += [SteeringSet(group.number, mask) for mask in sorted(class_sets)]
        return {steering.classes: number for number, steering in enumerate(self.sets[first:], first)}

    def _finish(self, code: HookCode, scratch: ir.Value) -> None:
        b, k = code.b, code.k
        if not self.device.trial:
            end = Finish(code, self._memory(), scratch, self.device.clock)
            end.deliver()
            if self.forwards:
                end.forward(len(self.device.groups))
        if not self.passes_up or not self.device.inline:
            b.ret(I32(code.drop if self.device.inline else code.go_on))
            return
        wanted = b.icmp_unsigned("!=", k.load(scratch, layouts.PASSED_UP, I32), I32(0))
        b.ret(b.select(wanted, I32(code.go_on), I32(code.drop)))
