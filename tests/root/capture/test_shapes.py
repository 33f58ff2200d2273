"""M1: odd frames, sent live, are decided in every mode as the interpreter decides, and every one is accounted for."""

from __future__ import annotations

from collections import Counter

import pytest
from root.capture.harness import check_identities, opened, send, settled
from root.network import Pair
from support.shapes import shapes
from support.wide import wide_programs

from pfq.engine.hooks import HookChoice
from pfq.lang.action import COUNTERS
from pfq.lang.interp import Interpreter, World
from pfq.lang.program import Program

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

LONGEST = 1514
FRAMES = [frame for frame in shapes().values() if 14 <= len(frame) <= LONGEST]
SHORTEST_TAGGED = 20


def seen(mode: HookChoice) -> list[bytes]:
    """Linux drops frames that end with their tag, before TC sees them."""
    if mode in ("xdp", "xdp-generic"):
        return FRAMES
    return [frame for frame in FRAMES if frame[12:14] not in (b"\x81\0", b"\x88\xa8") or len(frame) >= SHORTEST_TAGGED]


def wanted(program: Program, frames: list[bytes], device: str) -> list[int]:
    """The sums of the counters, by the interpreter."""
    interpreter = Interpreter(program)
    total: Counter[int] = Counter()
    for frame in frames:
        total.update(interpreter.decide(frame, world=World(device=device)).counters)
    return [total[number] for number in range(COUNTERS)]


@pytest.mark.parametrize("program", wide_programs(), ids=lambda program: f"{len(list(program.calls()))} calls")
def test_M1_odd_shapes_live(netns_pair: Pair, mode: HookChoice, program: Program) -> None:
    frames = seen(mode)
    assert len(frames) > 100
    with opened(netns_pair, program, hook=mode) as capture:
        with netns_pair.sender() as sender:
            send(sender, frames)
        settled(capture, len(frames))
        capture.stop()
        statistics = capture.statistics()
    check_identities(statistics)
    assert list(statistics.groups[0].counters) == wanted(program, frames, netns_pair.dev_b)
