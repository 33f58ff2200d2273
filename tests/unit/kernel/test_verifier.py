"""Logs of the verifier, as the kernel wrote them, become sentences."""

from __future__ import annotations

import errno
import struct

import pytest

from pfq.errors import VerifierError
from pfq.kernel.elf import Image
from pfq.kernel.verifier import explain
from pfq.source import Source, Span

SOURCE = Source("edge.pfq", "main =\n  ip >-> steer_flow\n")
PLACES = (Span(SOURCE, 9, 11), Span(SOURCE, 16, 26))
LINES = struct.pack("<4I", 0, 0, 0, 1 << 10) + struct.pack("<4I", 3, 0, 0, 2 << 10)
IMAGE = Image(bytes(80), (), ((0, "entry"),), b"", b"", LINES)


def explained(log: str, number: int = errno.EACCES) -> VerifierError:
    return explain(log, number, IMAGE, PLACES)


PACKET = """0: R1=ctx() R10=fp0
0: (61) r1 = *(u32 *)(r1 +0)          ; R1=pkt(r=0)
; ip @ edge.pfq:2
3: (71) r1 = *(u8 *)(r1 +14)
invalid access to packet, off=14 size=1, R1(id=0,off=14,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_the_last_words_count_and_the_place_is_found() -> None:
    error = explained(PACKET)
    assert error.message == (
        "the kernel refused the program: the program reads bytes of the packet without having checked that they are "
        "there (invalid access to packet, off=14 size=1, R1(id=0,off=14,r=0); R1 offset is outside of the packet), "
        "at instruction 3"
    )
    assert error.span == PLACES[1]
    assert error.log == PACKET
    assert "report" in str(error.hint)


@pytest.mark.parametrize(
    ("log", "meaning", "hint"),
    [
        (
            "BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns (limit 1000000)\n",
            "too large",
            "split",
        ),
        ("The sequence of 8193 jumps is too complex.\nprocessed 9 insns\n", "too many branches", "split"),
        ("combined stack size of 2 calls is 544. Too large\n", "512 bytes of stack", "split"),
        ("0: (7a) *(u64 *)(r10 -520) = 0\ninvalid write to stack R10 off=-520 size=8\n", "512 bytes of stack", "split"),
        ("the call stack of 9 frames is too deep !\n", "calls too deeply", "split"),
        ("back-edge from insn 7 to 3\n", "a loop", "report"),
        ("infinite loop detected at insn 7\n", "a loop", "report"),
        ("7: (85) call unknown#9999\ninvalid func unknown#9999\n", "function that this kernel does not have", "6.1"),
        ("unknown func bpf_nothing#300\n", "function that this kernel does not have", "6.1"),
        ("program of this type cannot use helper bpf_skb_load_bytes#26\n", "not for this hook", "6.1"),
        ("unreachable insn 7\n", "nothing reaches", "report"),
    ],
)
def test_known_refusals(log: str, meaning: str, hint: str) -> None:
    error = explained(log)
    assert meaning in error.message
    assert log.splitlines()[-1 if "processed" not in log else 0] in error.message, "the kernel's own words are kept"
    assert hint in str(error.hint)


def test_an_instruction_that_the_message_names_is_the_place() -> None:
    error = explained("back-edge from insn 2 to 1\n")
    assert error.message.endswith("at instruction 2")
    assert error.span == PLACES[0]


def test_an_access_to_the_stack_within_its_512_bytes_is_no_question_of_size() -> None:
    error = explained("4: (79) r1 = *(u64 *)(r10 -504)\ninvalid read from stack off -504+0 size 8\n")
    assert "512" not in error.message


def test_unknown_words_are_handed_on() -> None:
    error = explained("1: (79) r1 = *(u64 *)(r1 +0)\nR1 invalid mem access 'scalar'\nprocessed 2 insns\n")
    assert error.message == "the kernel refused the program: R1 invalid mem access 'scalar', at instruction 1"
    assert error.span == PLACES[0]


def test_no_log_at_all() -> None:
    assert "too large" in explained("", errno.E2BIG).message
    error = explained("", errno.EINVAL)
    assert (error.message, error.span) == ("the kernel refused the program: EINVAL", None)


def test_a_message_behind_an_instruction_on_its_line() -> None:
    """Linux 6.1 writes it so when it gives up in the middle of a line."""
    log = "584: (b7) r3 = 1\n585: (15) if r2 == 0x6 goto pc+1 BPF program is too large. Processed 1000001 insn\n"
    error = explained(log, errno.E2BIG)
    assert "too large" in error.message
    assert "split it" in str(error.hint)


def test_a_line_without_a_place_gives_none() -> None:
    image = Image(bytes(80), (), (), b"", b"", struct.pack("<4I", 0, 0, 0, 9 << 10))
    assert explain(PACKET, errno.EACCES, image, PLACES).span is None


def test_states_are_not_messages() -> None:
    log = """5: (bf) r2 = r10                      ; R2=fp0 R10=fp0
from 12 to 14: R0=0 R6=ctx() R10=fp0
14: R0=0 R6=ctx() R10=fp0
14: (15) if r0 == 0x0 goto pc+2
frame1: R1=ctx() R10=fp0
caller:
 R6=ctx() R10=fp0
callee:
 frame1: R1=ctx() R10=fp0
15: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 15 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1
"""
    assert explained(log).message == (
        "the kernel refused the program: R0 invalid mem access 'map_value_or_null', at instruction 15"
    )
