"""How long it takes to compile programs and to load them, and what the verifier does about them.

    ELF     from the text to the object, everything imported; time of the CPU, as all others here
    load    of that in the kernel, maps made before
    steps   instructions that the verifier followed, of at most 1,000,000

Run as root: `make bench`.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

from programs import cases

from pfq.codegen.device import Device, DeviceCode, Group, compile_device
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.kernel.maps import Map, possible_cpus
from pfq.kernel.privilege import require_privilege
from pfq.kernel.programs import load
from pfq.lang.compile import compile_text
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, calls_of
from pfq.lang.show import show

ROUNDS = 7
SIZES = (1, 2, 4, 8, 16, 32, 48, 64)
SEEDS = range(5)
TYPICAL_MS, LARGEST_MS = 60.0, 1000.0
"""What a typical program and one of the largest size may take."""
XDP_CANNOT = "forward"
"""The family of primitives that XDP programs have not."""
RINGS = RingShape(4096, 2048, 2016)
WIDTH = 50


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of several compilations."""

    elf_ms: float
    load_ms: float
    steps: int
    insns: int


def compile_once(text: str) -> DeviceCode:
    group = Group(0, compile_text(text, "<bench>"))
    return compile_device(Device(Hook.XDP, (group,), possible_cpus(), RINGS))


def cost(text: str) -> Cost:
    """What a program costs until it could be attached."""
    elf, loading = [], []
    for _ in range(ROUNDS):
        start = time.thread_time()
        code = compile_once(text)
        elf.append(time.thread_time() - start)
        with ExitStack() as undo:
            maps = {spec.name: undo.enter_context(Map.create(spec)) for spec in code.object.maps}
            start = time.thread_time()
            program = undo.enter_context(load(code.object, maps, "pfq_bench"))
            loading.append(time.thread_time() - start)
            info = program.info()
    steps, insns = info.verified_insns, info.xlated_prog_len // 8
    return Cost(1000 * statistics.median(elf), 1000 * statistics.median(loading), steps, insns)


def generated(size: int, seed: int) -> str:
    """A chain made from the examples of the table, with so many calls of primitives in all."""
    draw = random.Random(seed)
    parts = [chain for chain in map(example, PRIMS) if not forwards(chain)]
    chosen: list[Call] = []
    left = size
    while left:
        chain = draw.choice([part for part in parts if 0 < calls(part) <= left])
        chosen += chain.calls
        left -= calls(chain)
    return show(Chain(tuple(chosen)))


@cache
def example(name: str) -> Chain:
    return compile_text(PRIMS[name].example).main


def calls(chain: Chain) -> int:
    return sum(1 for _ in calls_of(chain))


def forwards(chain: Chain) -> bool:
    return any(call.prim.family == XDP_CANNOT for call in calls_of(chain))


def typical() -> None:
    """The programs that are compared with C, each once."""
    print(f"{'typical programs':30}{'ELF':>9}{'load':>10}{'steps':>9}{'insns':>7}")
    texts = {case.text: name for name, case in reversed(cases().items())}
    for text, name in reversed(texts.items()):
        found = cost(text)
        over = f"  over {TYPICAL_MS:.0f} ms" if found.elf_ms > TYPICAL_MS else ""
        print(f"{name:30}{found.elf_ms:6.0f} ms{found.load_ms:7.1f} ms{found.steps:9,}{found.insns:7,}{over}")


def growing() -> None:
    """Programs of more and more primitives, some of each size: one line with a bar for each size."""
    found = {size: [cost(generated(size, seed)) for seed in SEEDS] for size in SIZES}
    medians = {size: statistics.median(each.elf_ms for each in some) for size, some in found.items()}
    slope, start = statistics.linear_regression(list(medians), list(medians.values()))
    print(f"{'primitives':12}{'ELF':>9}{'worst':>10}{'load':>10}{'steps':>9}")
    for size, some in found.items():
        worst, loading = max(each.elf_ms for each in some), max(each.load_ms for each in some)
        bar = "#" * round(WIDTH * medians[size] / max(medians.values()))
        steps = max(each.steps for each in some)
        print(f"{size:12}{medians[size]:6.0f} ms{worst:7.0f} ms{loading:7.1f} ms{steps:9,}  {bar}")
    fit = statistics.correlation(list(medians), list(medians.values())) ** 2
    print(f"{start:.0f} ms and {slope:.1f} ms for each primitive (R2 = {fit:.3f})")
    over = [each.elf_ms for each in found[SIZES[-1]] if each.elf_ms > LARGEST_MS]
    print(f"over {LARGEST_MS:.0f} ms with {SIZES[-1]}: {len(over)} of {len(SEEDS)}")


def main() -> None:
    require_privilege()
    compile_once("unit")
    print(f"load {os.getloadavg()[0]:.1f}, Linux {os.uname().release}")
    typical()
    growing()


if __name__ == "__main__":
    main()
