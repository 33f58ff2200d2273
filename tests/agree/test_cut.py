"""M1, M2, M3: odd, cut and damaged frames get the same action from interpreter, native code and eBPF."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

import pytest
from support.backends import Backends, in_kernel
from support.frames import ethernet, ethernet_captures, ethernet_frames, extended, ip6, tcp
from support.mutations import mutated
from support.shapes import shapes
from support.wide import questions, wide_programs

from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

PER_CAPTURE = 6
LONGEST_CUT = 160
MUTATED = 20_000
SEED = 20_261_123


@pytest.fixture(scope="module")
def wide() -> Iterator[list[Backends]]:
    """All questions about headers, each in all three meanings."""
    with ExitStack() as stack:
        yield [Backends(program, stack.enter_context(in_kernel(program))) for program in wide_programs()]


def seeds() -> list[bytes]:
    real = [frame for path in ethernet_captures() for frame in islice(ethernet_frames(path), PER_CAPTURE)]
    return [*shapes().values(), *real]


def test_the_questions_are_many() -> None:
    assert len(questions()) > 90


def test_M1_shapes_that_are_seldom_seen(wide: list[Backends]) -> None:
    assert len(shapes()) > 120
    for frame in shapes().values():
        for backends in wide:
            backends.compare(frame)


@pytest.mark.slow
def test_M2_cut_at_every_byte(wide: list[Backends]) -> None:
    tried = 0
    for seed in seeds():
        for length in range(min(len(seed), LONGEST_CUT) + 1):
            for backends in wide:
                backends.compare_short(seed[:length])
            tried += 1
    assert tried > 25_000


@pytest.mark.slow
def test_M3_damaged_frames(wide: list[Backends]) -> None:
    for number, frame in enumerate(mutated(seeds(), MUTATED, SEED)):
        wide[number % len(wide)].compare_short(frame)


def test_headers_behind_the_window_are_absent() -> None:
    """A layer 4 header past the first 512 bytes is not seen by anybody."""
    program = compile_text("when is_tcp (inc 2)")
    with in_kernel(program) as kernel:
        backends = Backends(program, kernel)
        for filler, seen in ((50, True), (53, True), (56, False), (255, False)):
            first, payload = extended([(60, filler, 0)], 6, tcp())
            action = backends.compare(ethernet(ip6(payload, first), 0x86DD))
            assert (action.counters.get(2) == 1) is seen, filler
