"""Programs that every kernel must accept, and the attempt to load them.

As a command it loads compiled programs from a file: `python -m support.acceptance FILE`.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from pfq.codegen.device import Device, DeviceCode, Group, compile_device
from pfq.codegen.layouts import MAX_GROUPS
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook, ObjectSpec
from pfq.errors import PfqError, ProgramError
from pfq.kernel import features
from pfq.kernel.pool import created
from pfq.kernel.programs import load
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.program import Program
from support.berkeley import EXPRESSIONS

RINGS = RingShape(slots=64, slot_bytes=2048, snaplen=1514)

FAR = (
    "ether[1000] = 5",
    "ether[ether[0] + 500 : 4] = 5",
    "udp[ether[0:2]] = 1 or tcp[(tcp[12] & 0xf0) >> 2] = 2",
    "ip[470] = 0",
)
"""Filters that look behind the header window, or may."""
VLANS = (None, frozenset([0, 5]), frozenset([-1]))

Compiled = tuple[str, ObjectSpec]
"""A program as the user sees it, and its object."""


def compiled(programs: Iterable[Program], hooks: Iterable[tuple[Hook, int]], cpus: int) -> Iterator[Compiled]:
    """The programs as captures have them, at each of the hooks one in so many.

    Those are left out that our compiler refuses and says where in the text. Every other program at XDP is for frames
    that lie in one buffer.
    """
    for number, program in enumerate(programs):
        for hook, one_in in hooks:
            if number % one_in == 0:
                try:
                    yield f"{program} [{hook.value}]", code(program, hook, cpus, linear=number % 2 == 0).object
                except ProgramError as error:
                    if error.span is None:
                        raise


def filters_of_groups(hooks: Iterable[Hook], cpus: int) -> Iterator[Compiled]:
    """Devices of one, 16 and 64 groups with filters: all expressions that are compared, and loads behind the window."""
    texts = (*FAR, *EXPRESSIONS)
    programs = [compile_text(text) for text in ("unit", "steer_flow", 'filter (bpf "tcp") >-> steer_rrobin >-> kernel')]
    all_groups = [
        Group(number % MAX_GROUPS, programs[number % 3], BerkeleyFilter.parse(text), VLANS[number // 3 % len(VLANS)])
        for number, text in enumerate(texts)
    ]
    for hook in hooks:
        for size, step in ((1, 9), (16, 32), (64, 128)):
            for first in range(0, len(all_groups), step):
                some = tuple(all_groups[first : first + size])
                for linear in {False, hook is Hook.XDP}:
                    device = Device(hook, some, cpus, RINGS, linear=linear)
                    yield f"groups {first} to {first + size} [{hook.value}]", compile_device(device).object


def code(program: Program, hook: Hook, cpus: int, linear: bool) -> DeviceCode:
    """XDP cannot forward packets; TC has the programs that do."""
    found = compile_device(Device(hook, (Group(0, program),), cpus, RINGS, linear=linear))
    if hook is Hook.XDP and found.plan.devices:
        return code(program, Hook.TC_INGRESS, cpus, linear=False)
    return found


def refusals(programs: Iterable[Compiled]) -> list[str]:
    """What the kernel says about those programs that it refuses."""
    tcx = features.available("tcx")
    found = []
    for text, spec in programs:
        try:
            with ExitStack() as undo:
                maps = created(spec.maps, undo)
                undo.enter_context(load(spec, maps, "pfq_accept", tcx=tcx))
        except PfqError as error:
            found.append(f"{text}\n{error}")
    return found


def main(file: Path) -> int:
    """The exit status: 0 when the kernel accepts all programs of a file."""
    programs = pickle.loads(file.read_bytes())
    refused = refusals(programs)
    print(*refused, sep="\n\n")
    print(f"{len(programs) - len(refused)} of {len(programs)} programs are accepted")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
