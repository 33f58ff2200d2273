"""The hand-written C programs of the benchmark decide as those in pfq-lang: both do the same work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.backends import LONGEST_TEST_RUN
from support.frames import ethernet_captures, ethernet_frames, frames
from support.handwritten import TABLE, TIME_NS, Case, Decision, InC, Ours, cases, compiled, compiler
from support.shapes import shapes

from pfq.lang.action import Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import Interpreter, World

pytestmark = [
    pytest.mark.agree,
    pytest.mark.skipif(compiler() is None, reason="there is no clang to compile the C with"),
]

CPU = 0
SHORTEST = 14
PER_CAPTURE = 40
GENERATED = 40
WORLD = World(now_ns=TIME_NS)
CASES = cases()


@cache
def known_frames() -> tuple[bytes, ...]:
    """The first frames of each capture and one of every odd shape, as long as a test run takes them."""
    each = (islice(ethernet_frames(path), PER_CAPTURE) for path in ethernet_captures())
    cut = (frame[:LONGEST_TEST_RUN] for some in (*each, shapes().values()) for frame in some)
    return tuple(frame for frame in cut if len(frame) >= SHORTEST)


@pytest.fixture(autouse=True)
def _pinned() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CPU})
    yield
    os.sched_setaffinity(0, before)


class Meanings:
    """One program of the benchmark: in pfq-lang, compiled, and in C."""

    def __init__(self, case: Case, undo: ExitStack) -> None:
        source = compile_text(case.text)
        self.interpreter = Interpreter(source)
        self.ours = undo.enter_context(Ours(source))
        self.c = undo.enter_context(InC(compiled(case.name), case.initial()))
        case.fill(self.c)

    def compare(self, frame: bytes) -> Decision:
        """What all decide for a frame."""
        action = self.interpreter.decide(frame, world=WORLD)
        selected = TABLE.select(action)
        kept = action.fanout is not Fanout.DROP
        counts = (1, int(not kept), int(kept), int(kept and not selected))
        wanted = Decision(action, sum(1 << endpoint for endpoint in selected), counts)
        assert self.ours.decide(frame, CPU) == wanted, frame.hex()
        assert self.c.decide(frame, CPU) == wanted, frame.hex()
        return wanted


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_real_and_odd_frames(case: Case) -> None:
    with ExitStack() as undo:
        meanings = Meanings(case, undo)
        frames_of_its_kind = (frame for _, frame in case.mix)
        found = {meanings.compare(frame).action.fanout for frame in (*known_frames(), *frames_of_its_kind)}
    assert found != {Fanout.DROP}, "some frame was to pass"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_generated_frames(case: Case) -> None:
    @settings(max_examples=GENERATED)
    @given(st.lists(frames().filter(lambda frame: len(frame) >= SHORTEST), min_size=10, max_size=10))
    def compare(some: list[bytes]) -> None:
        for frame in some:
            meanings.compare(frame)

    with ExitStack() as undo:
        meanings = Meanings(case, undo)
        compare()
