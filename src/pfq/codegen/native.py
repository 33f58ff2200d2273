"""Programs as functions of this process: the same IR as for the kernel, compiled for the host."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import llvmlite.binding as binding
from llvmlite import ir

from pfq.codegen import layouts
from pfq.codegen.arithmetic import Surroundings
from pfq.codegen.data import LINE, DataPlan
from pfq.codegen.emitter import CodeEmitter, start_action, start_packet
from pfq.codegen.facts import Facts, HalfInUse
from pfq.codegen.headers import HeaderCode
from pfq.codegen.llvm import I8, I32, I64, PTR, host_machine, new_module, optimised, stack_slot
from pfq.codegen.places import Nowhere
from pfq.codegen.reading import HostReach, Reach, swapped
from pfq.codegen.wire import host_copy
from pfq.lang.action import COUNTERS, MAX_EVENTS, MAX_FORWARDS, Action, Fanout
from pfq.lang.interp import World
from pfq.lang.packet import HEADER_WINDOW, TAG_BYTES, Tag
from pfq.lang.prefixset import PrefixSet
from pfq.lang.program import Program

ENTRY = "decide"
NOTHING: Final = I64(0)

CONTEXT: Final = ("length", "tag", "tag_type", "ingress", "now")
"""What native code is told of a packet beside its bytes, u64 each.

length    bytes on the wire
tag       the tag that the device took off: control information plus 2**16, 0 for none
tag_type  its EtherType as little endian
ingress   number of the receiving device
now       time in ns
"""


@dataclass
class HostWindow:
    """The frame as a pointer and a length, and the rest of what is known of it.

    captured  bytes of it in the header window
    whole     bytes of it that are there, for filters that look beyond the window
    """

    frame: ir.Value
    captured: ir.Value
    context: ir.Value
    data: ir.Value
    whole: ir.Value = NOTHING

    def reach(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        return HostReach(self.frame, self.captured, self.context)(b, offset, size, fail)

    def wire(self, b: ir.IRBuilder) -> Reach:
        return HostReach(*host_copy(b, self.frame, self.captured, self.stripped_tag(b)), self.context)

    def beyond(self, b: ir.IRBuilder, offset: ir.Value, size: int, fail: ir.Block) -> ir.Value:
        taken_off = b.icmp_unsigned("!=", self.stripped_tag(b)[0], I64(0))
        offset = b.sub(offset, b.select(taken_off, I64(TAG_BYTES), I64(0)))
        return HostReach(self.frame, self.whole, self.context)(b, offset, size, fail)

    def forget(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        return value

    def _told(self, b: ir.IRBuilder, name: str) -> ir.Value:
        place = b.gep(self.context, [I64(8 * CONTEXT.index(name))], source_etype=I8)
        return b.load(place, typ=I64, align=8)

    def stripped_tag(self, b: ir.IRBuilder) -> tuple[ir.Value, ir.Value]:
        return self._told(b, "tag"), self._told(b, "tag_type")

    def length(self, b: ir.IRBuilder) -> ir.Value:
        return self._told(b, "length")

    def ingress(self, b: ir.IRBuilder) -> ir.Value:
        return self._told(b, "ingress")

    def now(self, b: ir.IRBuilder) -> ir.Value:
        return self._told(b, "now")

    def kept(self, b: ir.IRBuilder, half: HalfInUse) -> ir.Value:
        place = b.gep(self.data, [I64(half.offset)], source_etype=I8)
        return b.zext(b.load(place, typ=I32, align=4), I64)


def host_module(program: Program, plan: DataPlan) -> ir.Module:
    """The function `void decide(frame, u64 captured, context, record, counters, data, devices)`.

    frame and captured  the bytes that are there
    context             `CONTEXT`
    record              the structure of `layouts`, RECORD_BYTES long; its mark is read before it is written
    counters            the group's
    data                the memory that the plan describes
    devices             u32 each: numbers of the plan's devices
    """
    module = new_module("pfq", host_machine())
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64, *[PTR] * 5]), ENTRY)
    for pointer in (0, 2, 3, 4, 5, 6):
        function.args[pointer].add_attribute("noalias")
    frame, captured, context, record, counters, data, devices = function.args
    entry, decide, end = (function.append_basic_block(name) for name in ("entry", "decide", "end"))

    b = ir.IRBuilder(entry)
    short = b.icmp_unsigned("<", captured, I64(HEADER_WINDOW))
    window = HostWindow(frame, b.select(short, captured, I64(HEADER_WINDOW)), context, data)
    slots = stack_slot(b, ir.ArrayType(I64, layouts.MAX_FACTS))

    facts = Facts()
    at_decide = ir.IRBuilder(decide)
    start_packet(at_decide, record)
    start_action(at_decide, record)
    around = Surroundings(record, slots, counters, data, devices, I64(0))
    CodeEmitter(at_decide, facts, plan, Nowhere(), around).program(program.main, end, end)
    HeaderCode(b, facts, slots, window).emit()
    b.branch(decide)
    ir.IRBuilder(end).ret_void()
    return module


class ActionRecord(ctypes.LittleEndianStructure):
    """The action as generated code writes it; offsets as in `layouts`."""

    _fields_ = (
        ("classes", ctypes.c_uint64),
        ("fanout", ctypes.c_uint32),
        ("hash", ctypes.c_uint32),
        ("hash2", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("kernel", ctypes.c_uint32),
        ("_groups", ctypes.c_uint8 * (layouts.FORWARD_COUNT - layouts.ACTION_BYTES)),
        ("forward_count", ctypes.c_uint32),
        ("event_count", ctypes.c_uint32),
        ("forwards", ctypes.c_uint16 * MAX_FORWARDS),
        ("events", ctypes.c_uint8 * MAX_EVENTS),
    )

    def action(self, counters: dict[int, int], plan: DataPlan) -> Action:
        """As the interpreter reports it."""
        return Action(
            fanout=Fanout(self.fanout),
            classes=self.classes,
            hash=self.hash,
            hash2=self.hash2,
            kernel=bool(self.kernel),
            mark=self.mark,
            state=self.state,
            counters=counters,
            forwards=[plan.devices[number & 0xFF] for number in self.forwards[: self.forward_count]],
            events=[plan.sites[number] for number in self.events[: self.event_count]],
        )


class ProgramMemory:
    """What a program keeps, in memory of this process that begins at `address`."""

    def __init__(self, plan: DataPlan) -> None:
        self._plan = plan
        content = plan.content()
        self._bytes = ctypes.create_string_buffer(len(content) + LINE)
        self.address = -(-ctypes.addressof(self._bytes) // LINE) * LINE
        ctypes.memmove(self.address, content, len(content))
        self._hosts: frozenset[IPv4Address | IPv6Address] = frozenset()

    def set_hosts(self, hosts: frozenset[IPv4Address | IPv6Address]) -> None:
        """Tells the program which addresses are those of the receiving device."""
        if self._plan.hosts is not None and hosts != self._hosts:
            self._hosts = hosts
            packed = self._plan.hosts.packed(PrefixSet.of(map(str, hosts)) if hosts else PrefixSet(""))
            ctypes.memmove(self.address + self._plan.hosts.offset, packed, len(packed))


class NativeProgram:
    """A program compiled for the host, with its memory. Keep it as long as its function is in use.

    level  how much LLVM optimises, 0 to 3; it changes the speed and nothing else
    """

    def __init__(self, program: Program, level: int = 2) -> None:
        machine = host_machine()
        self.plan = DataPlan()
        module = optimised(host_module(program, self.plan), machine, level)
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self.address = self._engine.get_function_address(ENTRY)
        signature = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64, *[ctypes.c_void_p] * 5)
        self._function = signature(self.address)
        self._memory = ProgramMemory(self.plan)
        # Devices are known by their place in the plan, from 1 on.
        self._devices = (ctypes.c_uint32 * layouts.MAX_DEVICES)(*range(1, layouts.MAX_DEVICES + 1))

    def decide(self, frame: bytes, *, mark: int = 0, tag: Tag | None = None, world: World | None = None) -> Action:
        """The action for one frame; for tests and small jobs, for each call enters Python."""
        world = world or World()
        self._memory.set_hosts(world.hosts)
        ingress = self.plan.devices.index(world.device) + 1 if world.device in self.plan.devices else 0
        taken = (0, 0) if tag is None else (tag.tci | 1 << 16, swapped(tag.ethertype))
        context = (ctypes.c_uint64 * len(CONTEXT))(len(frame) + 4 * (tag is not None), *taken, ingress, world.now_ns)
        record = ActionRecord(mark=mark)
        counters = (ctypes.c_uint64 * COUNTERS)()
        addresses = map(ctypes.addressof, (context, record, counters))
        self._function(frame, len(frame), *addresses, self._memory.address, ctypes.addressof(self._devices))
        return record.action({index: count for index, count in enumerate(counters) if count}, self.plan)
