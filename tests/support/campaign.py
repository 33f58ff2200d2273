"""Agreement on a large scale: random programs, each over hundreds of frames of all kinds."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pfq.codegen.spec import Hook
from pfq.lang.program import Program
from support.backends import WORLD, Backends, in_kernel
from support.frames import ethernet_captures, ethernet_frames, frames
from support.mutations import mutated
from support.programs import programs
from support.shapes import shapes

GENERATED, PER_CAPTURE, MUTATED = 600, 12, 300
STEP_NS = 83_333_333
"""Time between frames, so that rates recover and flows become idle."""
HOOKS = (Hook.XDP, Hook.XDP, Hook.XDP, Hook.TC_INGRESS)


@cache
def pool() -> tuple[bytes, ...]:
    """Frames of all kinds: real, made by hand, generated, damaged. The same each time."""
    found: list[bytes] = []

    @settings(max_examples=GENERATED, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(frames())
    def collect(frame: bytes) -> None:
        found.append(frame)

    collect()
    found += shapes().values()
    for path in ethernet_captures():
        found += islice(ethernet_frames(path), PER_CAPTURE)
    found += mutated(found, MUTATED, seed=1)
    return tuple(dict.fromkeys(found))


@dataclass
class Campaign:
    """What was compared so far."""

    programs: int = 0
    pairs: int = 0

    def compare(self, program: Program, some_frames: list[bytes], hook: Hook) -> None:
        """All three meanings of a program, over the frames in their order."""
        with in_kernel(program, hook) as kernel:
            backends = Backends(program, kernel)
            for number, frame in enumerate(some_frames):
                backends.compare(frame, replace(WORLD, now_ns=WORLD.now_ns + number * STEP_NS))
        self.programs += 1
        self.pairs += backends.compared


def run(examples: int, each: int, seed: int | None = None) -> Campaign:
    """Compares so many programs over so many frames each; a failure is shrunk to a small program.

    seed  None: the same programs each time
    """
    campaign = Campaign()
    health = list(HealthCheck)

    def body(program: Program, choice: int) -> None:
        dice = random.Random(choice)
        some = dice.sample(pool(), min(each, len(pool())))
        campaign.compare(program, some, HOOKS[choice % len(HOOKS)])

    test = given(program=programs, choice=st.integers(0, 1 << 32))(body)
    if seed is not None:
        from hypothesis import seed as seeded

        test = seeded(seed)(test)
    settings(
        max_examples=examples, derandomize=seed is None, database=None, deadline=None, suppress_health_check=health
    )(test)()
    return campaign
