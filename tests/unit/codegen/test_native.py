"""Native code agrees with the interpreter, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import frames
from support.handmade import FRAMES
from support.programs import EVERY_PRIMITIVE, programs

from pfq.codegen.native import NativeProgram
from pfq.lang.action import Action, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import decide
from pfq.lang.packet import Tag
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

TAGS = (None, Tag(0x8100, 5))


def agree(program: Program, frame: bytes, native: NativeProgram) -> None:
    for tag in TAGS:
        for mark in (0, 0xFFFFFFFF):
            wanted = decide(program, frame, mark=mark, tag=tag)
            assert native.decide(frame, mark=mark, tag=tag) == wanted, (str(program), frame.hex())


@pytest.mark.parametrize("name", EVERY_PRIMITIVE)
def test_every_primitive_on_every_frame_made_by_hand(name: str) -> None:
    program = EVERY_PRIMITIVE[name]
    native = NativeProgram(program)
    for frame in FRAMES.values():
        agree(program, frame, native)


@pytest.mark.parametrize("name", ["tcp4 options", "tcp4 two tags", "tcp6 three extensions", "tcp6 atomic fragment"])
def test_frames_cut_at_every_byte(name: str) -> None:
    program = compile_text(
        "when is_tcp (mark 1) >-> when (has_port 80) (put_state 2) >-> when (ip_ttl .> 5) (inc 0) >-> steer_flow"
    )
    native = NativeProgram(program)
    for length in range(len(FRAMES[name]) + 1):
        agree(program, FRAMES[name][:length], native)


@pytest.mark.parametrize(
    "text",
    [
        "steer_to 3 >-> par (broadcast >-> drop) (mark 1)",
        "classify 2 >-> par (steer_flow >-> classify 3 >-> drop) unit",
        "steer_to 3 >-> classify 2 >-> inv (steer_flow >-> drop)",
        "par (mark 5 >-> put_state 6 >-> inc 7 >-> kernel >-> drop) (when (has_state 6) (inc 8))",
        "when is_tcp (when is_ip drop) >-> mark 1",
        "inv (par udp (inv tcp)) >-> steer_p2p",
    ],
)
def test_what_is_restored_and_what_stays(text: str) -> None:
    program = compile_text(text)
    native = NativeProgram(program)
    for frame in FRAMES.values():
        agree(program, frame, native)


@pytest.mark.slow
@settings(max_examples=40)
@given(program=programs, some_frames=st.lists(frames(), min_size=10, max_size=10))
def test_random_programs_on_random_frames(program: Program, some_frames: list[bytes]) -> None:
    native = NativeProgram(program)
    for frame in some_frames:
        agree(program, frame, native)


def test_the_whole_action_comes_back() -> None:
    program = compile_text("classify 5 >-> steer_to 7 >-> mark 8 >-> put_state 9 >-> kernel >-> inc 3 >-> inc 3")
    wanted = Action(Fanout.MEMBER, 1 << 5, hash=7, kernel=True, mark=8, state=9, counters={3: 2})
    assert NativeProgram(program).decide(FRAMES["tcp4"]) == wanted


def test_a_wrong_lowering_is_noticed() -> None:
    """The comparison itself can fail: the time to live is read one byte too early."""
    ttl = PRIMS["ip_ttl"]
    wrong = replace(ttl, lower=lambda e: (e.is_ip(4), e.load("ip4", 7, 1)))
    program = Program(Chain((Call(PRIMS["filter"], (Call(PRIMS["equal"], (Call(wrong), 64)),)),)))
    assert decide(program, FRAMES["tcp4"]) == Action()
    assert NativeProgram(program).decide(FRAMES["tcp4"]) == Action(Fanout.DROP)
