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
from functools import reduce

from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.admission import Admission, AdmissionCode
from pfq.codegen.arithmetic import Hosts, Surroundings
from pfq.codegen.data import DataPlan, power_of_two
from pfq.codegen.deliver import Delivery
from pfq.codegen.emitter import CodeEmitter, start_action, start_packet
from pfq.codegen.facts import Fact, Facts
from pfq.codegen.finish import Clock, Finish, delivery
from pfq.codegen.headers import HeaderCode
from pfq.codegen.hooks import HookCode, KernelWindow, TcCode, hook_code
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I1, I16, I32, PTR, bpf_machine, new_module, optimised, parsed
from pfq.codegen.memory import EGRESS, DeviceMemory, GroupNeeds, GroupTables, RingShape
from pfq.codegen.places import Places
from pfq.codegen.report import Report
from pfq.codegen.settle import Settlement
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.codegen.transmit import Transmission
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
    queues  only packets of these receive queues arrive at all; None: of every queue
    inline  Linux gets packets that arrive only when some program says so
    """

    number: int
    program: Program
    filter: BerkeleyFilter | None = None
    vlans: frozenset[int] | None = None
    queues: tuple[int, ...] | None = None
    inline: bool = False

    @property
    def filters(self) -> Filters:
        return Filters(self.filter, self.vlans)


@dataclass(frozen=True, slots=True)
class Device:
    """What to generate.

    groups   in ascending number
    rings    the shapes of the rings of end-points; one may stand alone. With `EGRESS` among them it runs at TC
    clock    the clocks of end-points, likewise
    inline   all groups are
    trial    leaves the actions in the scratch memory, copies and sends nothing, and takes the time from
             the configuration (for tests)
    ordered  the machine's stores become visible in their order, as on x86; otherwise packets are
             published by an atomic exchange, which costs more
    linear   XDP frames lie in one buffer each; saves a call for each packet, but the kernel then
             refuses large MTUs
    moved    at TC: only packets count about which no program at XDP has decided, as a mark on them says; for
             the time in which a program moves
    """

    hook: Hook
    groups: tuple[Group, ...]
    cpus: int
    rings: RingShape | tuple[RingShape, ...]
    clock: Clock | tuple[Clock, ...] = Clock.NS
    inline: bool = False
    trial: bool = False
    ordered: bool = True
    linear: bool = False
    moved: bool = False

    @property
    def shapes(self) -> tuple[RingShape, ...]:
        return self.rings if isinstance(self.rings, tuple) else (self.rings,)

    @property
    def clocks(self) -> tuple[Clock, ...]:
        return self.clock if isinstance(self.clock, tuple) else (self.clock,)

    @property
    def takes(self) -> bool | None:
        """Whether groups take packets from Linux: all packets, none, or (None) those of some queues."""
        inline = [group for group in self.groups if group.inline or self.inline]
        if all(group.queues is not None for group in inline):
            return None if inline else self.inline
        return True


@dataclass(frozen=True, slots=True)
class SteeringSet:
    """Which members a steering table must hold: those of `group` in one of the classes of the mask."""

    group: int
    classes: int


@dataclass(frozen=True, slots=True)
class GroupCode:
    """What the engine needs to know of one group of a compiled device.

    sets   what each of its steering tables is for, as masks of classes
    plan   what its program keeps, which devices it forwards to, what it reports
    sites  the number of the first thing that it reports
    """

    number: int
    sets: tuple[int, ...]
    plan: DataPlan
    sites: int = 0


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A compiled device.

    groups   by place
    filters  constants of the filters in front of the groups
    hosts    the set of the device's own addresses, when programs ask for it
    facts    what is read of each packet
    """

    object: ObjectSpec
    memory: DeviceMemory
    groups: tuple[GroupCode, ...]
    filters: DataPlan
    hosts: DataPlan
    facts: tuple[Fact, ...]
    ir: str

    @property
    def sets(self) -> tuple[SteeringSet, ...]:
        """What steering tables there are."""
        return tuple(SteeringSet(group.number, classes) for group in self.groups for classes in group.sets)

    @property
    def plan(self) -> DataPlan:
        """That of the first group, which may be the only one."""
        return self.groups[0].plan

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
        self.rows = power_of_two(device.cpus)
        self.groups: list[GroupCode] = []
        self.filters, self.hosts = DataPlan(), DataPlan()
        self.facts = Facts()
        self.admission = Admission([group.filters for group in device.groups], self.facts, self.filters)
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
        facts = tuple(self.facts.slots)
        return DeviceCode(spec, memory, tuple(self.groups), self.filters, self.hosts, facts, text)

    def _memory(self) -> DeviceMemory:
        return DeviceMemory(
            self.device.cpus,
            len(self.device.groups),
            self.device.shapes,
            tuple(GroupNeeds(group.number, len(group.sets), group.plan.size) for group in self.groups),
            filters=self.filters.size,
            hosts=self.hosts.size,
            events=self.sites > 0 and not self.device.trial,
        )

    @property
    def sites(self) -> int:
        """How many things programs report."""
        return sum(len(group.plan.sites) for group in self.groups)

    def _function(self, name: str, hook: type[HookCode], words: Sequence[str] = ()) -> ir.Function:
        function = ir.Function(self.module, ir.FunctionType(I32, [PTR, *(I32 for _ in words)]), name)
        for argument, argument_name in zip(function.args, ("ctx", *words), strict=True):
            argument.name = argument_name
        function.attributes.add("noinline")
        function.section = self.device.hook.value
        self.places.function(function, hook.struct, words)
        return function

    def _delivery(self, hook: type[HookCode], memory: DeviceMemory) -> None:
        for place, shape in enumerate(memory.shapes):
            function = self._function(delivery(place), hook, ("endpoint",))
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            self.places.start(builder)
            code = hook(builder, function.args[0])
            if shape == EGRESS:
                Transmission(code, function.args[1], memory).emit()
                continue
            clocks = len(self.device.clocks)
            Delivery(code, function.args[1], memory, shape, self.device.ordered, clocks).emit(self._numbers)

    @property
    def _numbers(self) -> list[int]:
        return [group.number for group in self.device.groups]

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
        first = self.sites

        def tell(b: ir.IRBuilder, site: int) -> None:
            if REPORT not in self.module.globals:
                self._function(REPORT, hook, ("site",))
                self.places.scope(b.function)
            b.call(self.module.get_global(REPORT), [ctx, I32(first + site)])

        return tell

    # the entry function

    def _entry(self, function: ir.Function, hook: type[HookCode]) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.places.start(builder)
        code = hook(builder, function.args[0])
        if self.device.moved and isinstance(code, TcCode):
            code.only_moved()
        k = code.k
        memory = self._memory()
        cpu = k.cpu()
        scratch = memory.scratch(k, cpu)
        facts = self.facts
        decide, finish = (function.append_basic_block(name) for name in ("decide", "finish"))
        at_decide = ir.IRBuilder(decide)
        self.places.start(at_decide)
        for index in range(len(self.device.groups)):
            self._group(index, at_decide, facts, memory, cpu, hook(at_decide, code.ctx))
        at_decide.branch(finish)
        if self.forwards or self.sites:
            start_packet(builder, scratch)
        if self.passes_up:
            k.store(I32(0), scratch, layouts.PASSED_UP)
        if self.device.takes is None:
            k.store(I32(0), scratch, layouts.TAKEN)
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
            data = k.map(layouts.FILTERS_MAP)
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
        code: HookCode,
    ) -> None:
        """Decides and settles one group; `b` goes on behind it."""
        k, group = KernelCalls(b), self.device.groups[index]
        scratch = memory.scratch(k, cpu)
        mine = k.field(memory.counters(k, cpu), group.number * layouts.GROUP_COUNTER_BYTES)
        elsewhere = None if group.queues is None else self._at_queue(code, group.queues, scratch)
        k.add(mine, layouts.ARRIVED)
        start_action(b, scratch)
        if index == 0 and group.queues is None:
            k.store(I32(0), scratch, layouts.MARK)
        if self.device.takes is None and (group.inline or self.device.inline):
            k.store(I32(1), scratch, layouts.TAKEN)
        plan, data_map = DataPlan(rows=self.rows), layouts.of_group(layouts.DATA_MAP, group.number)
        devices = layouts.DEVICES + index * layouts.GROUP_DEVICES_BYTES
        around = Surroundings(
            record=scratch,
            slots=k.field(scratch, layouts.FACTS),
            counters=k.field(mine, layouts.USER_COUNTERS),
            data=k.map(data_map),
            devices=k.field(k.map(layouts.CONFIG_MAP), devices),
            cpu=memory.row(k, cpu),
            place=index,
            tell=self._tell(type(code), code.ctx),
            memory=data_map,
            hosts=Hosts(self.hosts, layouts.HOSTS_MAP, k.map(layouts.HOSTS_MAP)),
        )
        filtered = self._admit(k, around.slots, index) if group.filters else None
        emitter = CodeEmitter(b, facts, plan, self.places, around)
        kept, dropped = (b.append_basic_block(name) for name in ("kept", "dropped"))
        emitter.program(group.program.main, kept, dropped)
        b.position_at_end(kept)
        self.forwards = self.forwards or emitter.forwards
        self.passes_up = self.passes_up or emitter.passes_up
        sets = tuple(sorted(emitter.class_sets))
        self.groups.append(GroupCode(group.number, sets, plan, self.sites))
        tables = {classes: number for number, classes in enumerate(sets)}
        settlement = Settlement(k, GroupTables(memory, group.number), scratch, mine, cpu, index, group.number)
        settlement.emit(dropped, filtered, emitter.fanouts, tables, emitter.passes_up, elsewhere)

    def _admit(self, k: KernelCalls, slots: ir.Value, index: int) -> ir.Block:
        """Goes on when the filters of a group have accepted the frame; where to go on when they have not."""
        admitted, filtered = (k.b.append_basic_block(name) for name in ("admitted", "filtered"))
        k.b.cbranch(self.admission.admitted(k, slots, index), admitted, filtered)
        k.b.position_at_end(admitted)
        return filtered

    def _at_queue(self, code: HookCode, queues: tuple[int, ...], scratch: ir.Value) -> ir.Block:
        """Goes on when the packet came by one of the queues; where to go on when it did not."""
        b, k = code.b, code.k
        k.store(I32(0), scratch, layouts.KERNEL)
        if not self.groups:
            k.store(I32(0), scratch, layouts.MARK)
        arrived, elsewhere = (b.append_basic_block(name) for name in ("arrived", "elsewhere"))
        found = code.receive_queue()
        wanted = reduce(b.or_, [b.icmp_unsigned("==", found, I16(queue)) for queue in queues])
        b.cbranch(wanted, arrived, elsewhere)
        b.position_at_end(arrived)
        return elsewhere

    def _finish(self, code: HookCode, scratch: ir.Value) -> None:
        b, k = code.b, code.k
        if not self.device.trial:
            end = Finish(code, self._memory(), scratch, self.device.clocks)
            end.deliver()
            if self.forwards:
                end.forward(self._numbers)
        takes = self.device.takes
        if takes is False or (takes and not self.passes_up):
            b.ret(I32(code.drop if takes else code.go_on))
            return
        wanted: ir.Value = I1(0)
        if self.passes_up:
            wanted = b.icmp_unsigned("!=", k.load(scratch, layouts.PASSED_UP, I32), I32(0))
        if takes is None:
            wanted = b.or_(wanted, b.icmp_unsigned("==", k.load(scratch, layouts.TAKEN, I32), I32(0)))
        b.ret(b.select(wanted, I32(code.go_on), I32(code.drop)))
