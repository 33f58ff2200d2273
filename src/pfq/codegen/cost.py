"""What a primitive costs in the kernel, and what it reads, for the manual and `pfq explain`.

The figures of our own primitives are kept in costs.json, for measuring them all takes seconds; a
test keeps the file true. Those of other packages are measured when they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pfq.codegen.facts import (
    Bytes,
    EtherType,
    Fact,
    Ingress,
    Length,
    Now,
    Present,
    TagControl,
    TagType,
    Transport,
    Wire,
)
from pfq.lang.prims import PRIMS, Kind, Prim
from pfq.lang.program import Call, Chain, Program

if TYPE_CHECKING:
    from pfq.codegen.device import DeviceCode

FILE: Final = Path(__file__).with_name("costs.json")
INSTRUCTION_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one use of a primitive adds to a program.

    instructions  of eBPF, more than the empty program has; those that read the headers are among them,
                  though several calls share them
    reads         what of a packet it looks at, in words
    """

    instructions: int
    reads: str


def cost(prim: Prim) -> Cost:
    """The cost of a primitive in the call that its example makes."""
    known = kept().get(prim.name)
    return known if known is not None and PRIMS.get(prim.name) is prim else measured(prim)


@cache
def kept() -> dict[str, Cost]:
    """The costs in the file, by name."""
    return {name: Cost(*values) for name, values in json.loads(FILE.read_text()).items()}


def measured(prim: Prim) -> Cost:
    """The cost, by compiling."""
    count, facts, remembers = _compiled(Program(_alone(prim)))
    words: list[str] = [name for name in _READS if name in set(_names(facts))]
    if remembers:
        words.append("memory of its own")
    return Cost(count - _compiled(Program(Chain()))[0], ", ".join(words) or "nothing")


_READS: Final = ("time", "receiving device", "length", "frame", "Ethernet header", "IP header", "layer 4 header")


def _names(facts: list[Fact]) -> Iterator[str]:
    for fact in facts:
        match fact:
            case Now():
                yield "time"
            case Ingress():
                yield "receiving device"
            case Length():
                yield "length"
            case Wire():
                yield "frame"
            case Bytes("l4") | Present("l4") | Transport():
                yield from ("IP header", "layer 4 header")
            case Bytes("frame") | Present("frame") | EtherType() | TagControl() | TagType():
                yield "Ethernet header"
            case _:
                yield "IP header"


def _alone(prim: Prim) -> Chain:
    """The call of the primitive in its example, made an action. `unit` leaves none."""
    from pfq.lang.compile import compile_text

    calls = [found for found in compile_text(prim.example).calls() if found.prim is prim][:1]
    match prim.kind:
        case Kind.PREDICATE:
            calls = [Call(PRIMS["filter"], (call,)) for call in calls]
        case Kind.PROPERTY:
            calls = [Call(PRIMS["filter"], (Call(PRIMS["greater"], (call, 0)),)) for call in calls]
    return Chain(tuple(calls))


def _compiled(program: Program) -> tuple[int, list[Fact], bool]:
    """(instructions, facts asked for, keeps memory) of a program without its delivery."""
    from pfq.codegen.device import Device, Group, compile_device
    from pfq.codegen.memory import RingShape
    from pfq.codegen.spec import Hook

    device = Device(Hook.XDP, (Group(0, program),), cpus=64, rings=RingShape(4096, 2048, 2016), trial=True)
    code = compile_device(device)
    return instructions(code), list(code.facts), bool(code.plan.size or code.hosts.size)


def instructions(code: DeviceCode) -> int:
    """Instructions of a program, as they are handed to the kernel; a load of an address counts twice."""
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    sections = ELFFile(BytesIO(code.object.elf)).iter_sections()
    return sum(int(s["sh_size"]) for s in sections if s["sh_flags"] & SH_FLAGS.SHF_EXECINSTR) // INSTRUCTION_BYTES
