"""Native code agrees with the interpreter, frame by frame."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import frames
from support.handmade import FRAMES
from support.programs import EVERY_PRIMITIVE, programs

from pfq.codegen.native import NativeProgram
from pfq.lang.action import Action, Event, EventKind, Fanout
from pfq.lang.compile import compile_text
from pfq.lang.interp import Interpreter, World, decide
from pfq.lang.packet import Tag
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Program

TAGS = (None, Tag(0x8100, 5))
WORLD = World("eth0", frozenset(map(ip_address, ("10.0.0.2", "2001:db8::2"))), now_ns=5_000_000_000)


class Both:
    """A program in both meanings, each with memory of its own, which see the same frames in the same order."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.interpreter = Interpreter(program)
        self.native = NativeProgram(program)

    def agree(self, frame: bytes) -> None:
        for tag in TAGS:
            for mark in (0, 0xFFFFFFFF):
                wanted = self.interpreter.decide(frame, mark=mark, tag=tag, world=WORLD)
                found = self.native.decide(frame, mark=mark, tag=tag, world=WORLD)
                assert found == wanted, (str(self.program), frame.hex())


@pytest.mark.parametrize("name", EVERY_PRIMITIVE)
def test_every_primitive_on_every_frame_made_by_hand(name: str) -> None:
    both = Both(EVERY_PRIMITIVE[name])
    for frame in FRAMES.values():
        both.agree(frame)


@pytest.mark.parametrize("name", ["tcp4 options", "tcp4 two tags", "tcp6 three extensions", "tcp6 atomic fragment"])
def test_frames_cut_at_every_byte(name: str) -> None:
    program = compile_text(
        "when is_tcp (mark 1) >-> when (has_port 80) (put_state 2) >-> when (ip_ttl .> 5) (inc 0) >-> steer_flow"
    )
    both = Both(program)
    for length in range(len(FRAMES[name]) + 1):
        both.agree(FRAMES[name][:length])


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
    both = Both(compile_text(text))
    for frame in FRAMES.values():
        both.agree(frame)


@pytest.mark.slow
@settings(max_examples=40)
@given(program=programs, some_frames=st.lists(frames(), min_size=10, max_size=10))
def test_random_programs_on_random_frames(program: Program, some_frames: list[bytes]) -> None:
    both = Both(program)
    for frame in some_frames:
        both.agree(frame)


def test_the_whole_action_comes_back() -> None:
    program = compile_text(
        'classify 5 >-> steer_to 7 >-> mark 8 >-> put_state 9 >-> kernel >-> inc 3 >-> inc 3 >-> forward "eth1" >-> '
        'link ["eth0", "eth2"] >-> log_msg "seen" >-> forward "eth1" >-> trace'
    )
    wanted = Action(
        Fanout.MEMBER,
        1 << 5,
        hash=7,
        kernel=True,
        mark=8,
        state=9,
        counters={3: 2},
        forwards=["eth1", "eth2", "eth1"],
        events=[Event(EventKind.MESSAGE, "seen"), Event(EventKind.TRACE)],
    )
    assert NativeProgram(program).decide(FRAMES["tcp4"], world=WORLD) == wanted


@pytest.mark.parametrize("count", [15, 16, 17, 40])
def test_a_packet_has_so_many_forwards_and_events(count: int) -> None:
    program = compile_text(" >-> ".join(f'forward "d{n}" >-> log_msg "{n}"' for n in range(count)))
    action = NativeProgram(program).decide(FRAMES["tcp4"])
    assert action.forwards == [f"d{n}" for n in range(min(count, 16))]
    assert action.events == [Event(EventKind.MESSAGE, f"{n}") for n in range(min(count, 16))]


def test_what_stays_from_packet_to_packet() -> None:
    """Each compiled program has memory of its own."""
    program = compile_text("limit 1 2 >-> flow_inc key_5tuple 8 9 >-> when (flow_get key_5tuple 8 9 .== 2) (mark 1)")
    for native in (NativeProgram(program), NativeProgram(program)):
        found = [native.decide(FRAMES["tcp4"], world=WORLD) for _ in range(3)]
        assert [(action.fanout, action.mark) for action in found] == [(1, 0), (1, 1), (0, 0)]
        later = replace(WORLD, now_ns=WORLD.now_ns + 1_000_000_000)
        assert native.decide(FRAMES["tcp4"], world=later).fanout == 1


def test_own_addresses_change_from_packet_to_packet() -> None:
    native = NativeProgram(compile_text("dst ip_host"))
    for hosts, passed in ((("10.0.0.2",), 1), (("10.0.0.3", "::2"), 0), ((), 0), (("10.0.0.2", "10.0.0.1"), 1)):
        world = World(hosts=frozenset(map(ip_address, hosts)))
        assert native.decide(FRAMES["tcp4"], world=world).fanout == passed


def test_a_wrong_lowering_is_noticed() -> None:
    """The comparison itself can fail: the time to live is read one byte too early."""
    ttl = PRIMS["ip_ttl"]
    wrong = replace(ttl, lower=lambda e: (e.is_ip(4), e.load("ip4", 7, 1)))
    program = Program(Chain((Call(PRIMS["filter"], (Call(PRIMS["equal"], (Call(wrong), 64)),)),)))
    assert decide(program, FRAMES["tcp4"]) == Action()
    assert NativeProgram(program).decide(FRAMES["tcp4"]) == Action(Fanout.DROP)
