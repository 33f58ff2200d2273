"""V8: Berkeley packet filters say the same in every meaning, and the same as libpcap's own interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.backends import LONGEST_TEST_RUN, Backends, in_kernel
from support.berkeley import EXPRESSIONS, Judge, filters
from support.frames import ethernet_captures, ethernet_frames, frames
from support.handmade import FRAMES
from support.shapes import shapes

from pfq.codegen.native import NativeProgram
from pfq.codegen.spec import Hook
from pfq.lang.action import COUNTERS
from pfq.lang.berkeley import MAX_EXPRESSION, BerkeleyFilter
from pfq.lang.interp import decide
from pfq.lang.packet import Tag
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

pytestmark = pytest.mark.agree

HOOKS = pytest.mark.parametrize("hook", [Hook.XDP, Hook.TC_INGRESS], ids=lambda hook: hook.value)
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
PER_CAPTURE = 60
ASKED = [BerkeleyFilter.parse(text) for text in EXPRESSIONS]


def tally(asked: list[BerkeleyFilter]) -> Program:
    """Counts in counter N the frames that filter N accepts."""
    counted = [Call(PRIMS["when"], (Call(PRIMS["bpf"], (each,)), count(number))) for number, each in enumerate(asked)]
    return Program(Chain(tuple(counted)))


def count(number: int) -> Chain:
    return Chain((Call(PRIMS["inc"], (number,)),))


def judged(judges: list[Judge], frame: bytes) -> dict[int, int]:
    """The counters that the tally must leave."""
    return {number: 1 for number, judge in enumerate(judges) if judge.accepts(frame)}


@contextmanager
def tallies(asked: list[BerkeleyFilter], hook: Hook) -> Iterator[list[tuple[Backends, list[Judge]]]]:
    """Programs that ask all filters, and the judges of each."""
    with ExitStack() as stack:
        made = []
        for start in range(0, len(asked), COUNTERS // 2):
            some = asked[start : start + COUNTERS // 2]
            program = tally(some)
            made.append((Backends(program, stack.enter_context(in_kernel(program, hook))), list(map(Judge, some))))
        yield made


def compare(made: list[tuple[Backends, list[Judge]]], frame: bytes) -> set[int]:
    """The numbers of the filters that accept a frame, when all agree on it."""
    found, first = set(), 0
    for backends, judges in made:
        wanted = judged(judges, frame)
        assert backends.compare_short(frame).counters == wanted, frame.hex()
        found |= {first + number for number in wanted}
        first += len(judges)
    return found


@HOOKS
def test_V8_bpf_on_captures_as_libpcap_says(hook: Hook) -> None:
    real = [frame for path in ethernet_captures() for frame in islice(ethernet_frames(path), PER_CAPTURE)]
    made_up = [*FRAMES.values(), *shapes().values()]
    accepting: set[int] = set()
    with tallies(ASKED, hook) as made:
        for frame in (*real, *made_up):
            accepting |= compare(made, frame[:LONGEST_TEST_RUN])
    never = {EXPRESSIONS[number] for number in range(len(EXPRESSIONS)) if number not in accepting}
    assert len(never) < len(EXPRESSIONS) // 3, never


@HOOKS
def test_V8_bpf_sees_the_first_512_bytes(hook: Hook) -> None:
    last = (
        "ether[511] = 7",
        "ether[510:2] = 7",
        "ether[508:4] = 7",
        "ether[512] = 0",
        "ether[511:2] >= 0",
        "len = 513",
    )
    with tallies([BerkeleyFilter.parse(text) for text in last], hook) as made:
        whole = bytes(511) + b"\7"
        assert compare(made, whole) == {0, 1, 2}
        assert compare(made, whole[:-1]) == set()
        assert compare(made, whole + b"\0") == {0, 1, 2, 5}


@HOOKS
@settings(SETTINGS, max_examples=40)
@given(asked=st.lists(filters(), min_size=8, max_size=8), some_frames=st.lists(frames(), min_size=12, max_size=12))
def test_V8_bpf_bytecode_of_all_kinds(hook: Hook, asked: list[BerkeleyFilter], some_frames: list[bytes]) -> None:
    with tallies(asked, hook) as made:
        for frame in some_frames:
            compare(made, frame)


@settings(SETTINGS, max_examples=30)
@given(asked=st.lists(filters(), min_size=4, max_size=4), some_frames=st.lists(frames(), min_size=8, max_size=8))
def test_V8_bpf_where_the_device_took_the_tag_off(asked: list[BerkeleyFilter], some_frames: list[bytes]) -> None:
    """Interpreter and native code; the kernel makes no test runs with tags taken off."""
    some = [*asked, *ASKED[:: len(ASKED) // 8]]
    program, judges = tally(some), [Judge(each) for each in some]
    native = NativeProgram(program)
    for frame in some_frames:
        for tag in (Tag(0x8100, 5), Tag(0x88A8, 0xF005)):
            wanted = decide(program, frame, tag=tag)
            assert native.decide(frame, tag=tag) == wanted
            if len(frame) >= 12:
                put_back = tag.ethertype.to_bytes(2, "big") + tag.tci.to_bytes(2, "big")
                assert wanted.counters == judged(judges, frame[:12] + put_back + frame[12:])


@HOOKS
def test_V8_bpf_of_great_length(hook: Hook) -> None:
    text = " or ".join(f"host 10.{number % 7}.{number}.1" for number in range(110))
    assert 1900 < len(text) <= MAX_EXPRESSION
    with tallies([BerkeleyFilter.parse(text)], hook) as made:
        for frame in FRAMES.values():
            compare(made, frame)
