"""What groups, members and copies cost a packet, one beside the other.

    python bench/groups.py [--rounds N] [--json]

Programs run on one frame again and again, with no device around them (BPF_PROG_TEST_RUN). Rings are emptied
between runs, outside of what is measured. Each figure is the least of several rounds, in ns a packet; the rounds go
through all cases, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from feed import FEEDER_CPU, CodesAtOnce, frame, pinned

from pfq.codegen.device import Device, DeviceCode, Group, GroupCode
from pfq.codegen.finish import Clock
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.engine.datapath import DataPath, Hosts
from pfq.engine.groupmemory import GroupMemory
from pfq.engine.hooks import XDP_NATIVE
from pfq.engine.keeper import Unkept
from pfq.engine.memory import EngineMemory
from pfq.engine.rings import Rings
from pfq.engine.steering import Member
from pfq.kernel.maps import possible_cpus
from pfq.kernel.programs import Program
from pfq.lang.compile import compile_text

SHAPE = RingShape(1 << 12, 128, 96)
RUN = 1 << 12
"""Packets of one run: as many as a ring holds."""
RUNS = 32
MOST_IDLE_NS, MOST_STEERING = 10.0, 0.20


@dataclass(frozen=True)
class Case:
    """Groups, each with a program and members."""

    name: str
    groups: tuple[tuple[str, tuple[Member, ...]], ...]


@dataclass
class Made:
    """A case that is ready to run."""

    case: Case
    program: Program
    rings: list[Rings]
    found: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """One round: ns a packet."""
        data, took = frame(1), []
        for _ in range(RUNS):
            took.append(self.program.test_run(data, repeat=RUN, cpu=0).duration_ns)
            for rings in self.rings:
                while (batch := rings.reader.read(timeout=0)) is not None:
                    batch.release()
        self.found.append(statistics.median(took))

    @property
    def ns(self) -> float:
        return min(self.found)


@contextmanager
def made(case: Case) -> Iterator[Made]:
    """Loads the program of a case, unattached."""
    groups = tuple(Group(number, compile_text(text, "<bench>")) for number, (text, _) in enumerate(case.groups))
    spec = Device(Hook.XDP, groups, possible_cpus(), SHAPE, clock=Clock.NONE, inline=True, linear=True)
    with ExitStack() as undo:
        memory = EngineMemory(Unkept())
        undo.callback(memory.close)
        numbers = sorted({member.endpoint for _, members in case.groups for member in members})
        rings = [Rings.create(SHAPE, possible_cpus(), Unkept()) for _ in numbers]
        for number, each in zip(numbers, rings, strict=True):
            undo.callback(each.close)
            memory.install(number, each, SHAPE.snaplen, Clock.NONE)

        def memory_of(code: GroupCode, device: DeviceCode) -> GroupMemory:
            found = GroupMemory.create(code, device, memory.pool)
            undo.callback(found.close)
            found.set_members(case.groups[code.number][1])
            return found

        path = DataPath(memory, spec, memory_of, Hosts(), CodesAtOnce())
        undo.callback(path.close)
        yield Made(case, path.program(XDP_NATIVE, linear=True), rings)


COUNTS = (1, 2, 4, 8, 64)


def cases() -> list[Case]:
    """What is compared; the first of each kind is what the others are compared with."""
    nobody: tuple[Member, ...] = ()
    found = [Case(f"{n} groups, no members", (("unit", nobody),) * n) for n in COUNTS]
    found += [
        Case(f"{n} groups, a member each", tuple(("unit", (Member(number),)) for number in range(n))) for n in COUNTS
    ]
    found += [
        Case(f"1 group with a member, {n - 1} idle", (("unit", (Member(0),)), *((("unit", nobody),) * (n - 1))))
        for n in COUNTS
    ]
    found += [
        Case(f"steering over {n}", (("steer_flow", tuple(Member(number) for number in range(n))),))
        for n in (1, 2, 4, 8, 16, 32, 64)
    ]
    found += [Case(f"broadcast to {n}", (("broadcast", tuple(map(Member, range(n)))),)) for n in (1, 2, 4, 8)]
    return found


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    with ExitStack() as undo, pinned(FEEDER_CPU):
        all_made = []
        for case in cases():
            all_made.append(undo.enter_context(made(case)))
            print(f"ready: {case.name}", file=sys.stderr)
        for _ in range(args.rounds):
            for each in all_made:
                each.measure()
        ns = {each.case.name: each.ns for each in all_made}
    if args.json:
        print(json.dumps(ns, indent=2))
    else:
        print(f"{os.uname().release}, {os.cpu_count()} CPUs, ns a packet, the least of {args.rounds} rounds")
        for name, value in ns.items():
            print(f"{name:36}{value:8.1f}")
    return report(ns)


def report(ns: dict[str, float]) -> int:
    """Says whether what is promised holds; 1 when it does not."""
    idle = max((ns[f"{n} groups, no members"] - ns["1 groups, no members"]) / (n - 1) for n in COUNTS if n > 1)
    steering = [value for name, value in ns.items() if name.startswith("steering")]
    spread = max(steering[0], steering[-1]) / min(steering[0], steering[-1]) - 1
    print(f"an idle group adds at most {idle:.1f} ns a packet (promised: {MOST_IDLE_NS:.0f})")
    print(f"steering over 64 and over 1 differ by {spread:.0%} (promised: {MOST_STEERING:.0%})")
    return int(idle > MOST_IDLE_NS or spread > MOST_STEERING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
