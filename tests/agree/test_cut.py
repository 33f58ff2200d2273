"""M2: frames cut at every byte get the same action from interpreter, native code and eBPF."""

from __future__ import annotations

from itertools import islice

import pytest
from support.backends import in_kernel
from support.frames import ADDRESSES6, ethernet, ethernet_captures, ethernet_frames, extended, ip4, ip6, tcp, udp

from pfq.codegen.native import NativeProgram
from pfq.lang.interp import Interpreter, decide
from pfq.lang.prims import PRIMS
from pfq.lang.program import Call, Chain, Prefix, Program

pytestmark = pytest.mark.agree

PER_CAPTURE = 6
LONGEST_CUT = 160


def handmade() -> list[bytes]:
    """Header shapes that real traffic seldom has (catalogue row M1)."""
    chains = [
        [(0, 0, 0)],
        [(0, 0, 0), (0, 0, 0)],
        [(44, 0, 1)],
        [(44, 0, 0)],
        [(44, 0, 8)],
        [(51, 0, 0), (60, 1, 0)],
        [(60, 0, 0)] * 8,
        [(60, 0, 0)] * 9,
        [(60, 0, 0)] * 16,
        [(60, 255, 0)],
    ]
    result = [
        ethernet(ip4(tcp(), 6), 0x0800),
        ethernet(ip4(udp(), 17, options=b"\1" * 40), 0x0800),
        ethernet(ip4(tcp(), 6, parts=0x2000), 0x0800),
        ethernet(ip4(tcp(), 6, parts=0x1FFF), 0x0800),
        ethernet(ip4(b"\1" * 40, 1), 0x0800),
        *(ethernet(ip4(tcp(), version_ihl=first), 0x0800) for first in (0x40, 0x41, 0x44, 0x4F, 0x55, 0x65)),
        *(ethernet(ip4(tcp()), 0x0800, [(0x8100, 5)] * depth) for depth in (1, 2, 3, 4)),
        ethernet(ip4(tcp()), 0x0800, [(0x88A8, 9), (0x8100, 0)]),
        ethernet(ip6(udp(), 17), 0x86DD, [(0x8100, 4095)]),
        ethernet(b"\0" * 50, 0x8100),
        ethernet(b"\xaa\xaa\x03" + bytes(40), 43),
    ]
    for chain in chains:
        first, payload = extended(chain, 6, tcp())
        result.append(ethernet(ip6(payload, first, ADDRESSES6[1], ADDRESSES6[2]), 0x86DD))
    return result


def seeds() -> list[bytes]:
    real = [frame for path in ethernet_captures() for frame in islice(ethernet_frames(path), PER_CAPTURE)]
    return handmade() + real


def call(name: str, *args: object) -> Call:
    return Call(PRIMS[name], args)  # type: ignore[arg-type]


def wide_program() -> Program:
    """Makes everything that the headers decide visible at once: a counter for each question."""
    questions = [
        call("is_ip"),
        call("is_ip6"),
        call("is_tcp"),
        call("is_udp"),
        call("is_icmp"),
        call("is_flow"),
        call("has_port", 80),
        call("has_src_port", 1024),
        call("has_addr", Prefix.parse("10.0.0.0/8")),
        call("has_dst_addr", Prefix.parse("ff00::/8")),
        call("greater", call("ip_ttl"), 63),
        call("greater", call("ip_tot_len"), 40),
        call("equal", call("tcp_dest"), 80),
        call("equal", call("udp_source"), 1024),
    ]
    counted = [call("when", question, Chain((call("inc", n),))) for n, question in enumerate(questions)]
    return Program(Chain((*counted, call("steer_flow"))))


def test_M2_cut_at_every_byte() -> None:
    program = wide_program()
    native = NativeProgram(program)
    interpreter = Interpreter(program)
    tried = 0
    with in_kernel(program) as kernel:
        for seed in seeds():
            for length in range(min(len(seed), LONGEST_CUT) + 1):
                frame = seed[:length]
                wanted = interpreter.decide(frame)
                assert native.decide(frame) == wanted, frame.hex()
                if kernel.accepts(frame):
                    assert kernel.decide(frame) == wanted, frame.hex()
                tried += 1
    assert tried > 10_000


def test_headers_behind_the_window_are_absent() -> None:
    """A layer 4 header past the first 512 bytes is not seen by anybody."""
    program = wide_program()
    for filler, seen in ((50, True), (53, True), (56, False), (255, False)):
        first, payload = extended([(60, filler, 0)], 6, tcp())
        frame = ethernet(ip6(payload, first), 0x86DD)
        wanted = decide(program, frame)
        assert (wanted.counters.get(2) == 1) is seen, filler
        assert NativeProgram(program).decide(frame) == wanted
        with in_kernel(program) as kernel:
            assert kernel.decide(frame) == wanted
