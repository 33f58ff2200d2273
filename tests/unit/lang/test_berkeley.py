"""V8: Berkeley packet filters: what is read, what is refused, and what a filter accepts, by hand and by libpcap."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.berkeley import EXPRESSIONS, REFUSED, Judge, bytecode, filters
from support.frames import ethernet_captures, ethernet_frames, frames
from support.handmade import FRAMES, accepted, passed
from support.shapes import shapes
from support.tcpdump import missing

from pfq.errors import LiteralError, MachineError, ProgramError, TooBigError, TypeMismatchError, UsageError
from pfq.lang import BerkeleyFilter, bpf, compile_text, from_json, keep, libpcap, to_json
from pfq.lang.bytecode import OPERATIONS
from pfq.lang.packet import Packet, Tag
from pfq.lang.program import Program

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
RETURN_A, ACCEPT, REJECT = (0x16, 0, 0, 0), (6, 0, 0, 1), (6, 0, 0, 0)
LD, LDX, ADD, LSH_X, RSH_X, DIV_X, MOD_X, NEG, TXA = 0x00, 0x01, 0x04, 0x6C, 0x7C, 0x3C, 0x9C, 0x84, 0x87
Code = Sequence[int]


def made(*instructions: Code) -> BerkeleyFilter:
    return BerkeleyFilter.parse(bytecode(*instructions))


def filter_of(program: Program) -> BerkeleyFilter:
    (found,) = [argument for call in program.calls() for argument in call.args if isinstance(argument, BerkeleyFilter)]
    return found


# reading


def test_a_filter_from_a_list_of_instructions_is_that_of_its_text() -> None:
    parsed = BerkeleyFilter.parse("tcp port 80")
    for rows in (
        parsed.instructions,
        [list(each) for each in parsed.instructions],
        tuple(map(tuple, parsed.instructions)),
    ):
        found = BerkeleyFilter.of(rows)
        assert found.instructions == parsed.instructions
        assert BerkeleyFilter.parse(found.name) == found
    assert BerkeleyFilter.of("tcp port 80") == BerkeleyFilter.of(parsed) == parsed


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (80, "an expression or a list of instructions, not 80"),
        (None, "an expression or a list of instructions"),
        (b"tcp", "an expression or a list of instructions"),
        ([80], "instruction 0 of the filter is not four numbers: 80"),
        ([ACCEPT, (6, 0, 0)], "instruction 1 of the filter is not four numbers"),
        (["6001"], "instruction 0 of the filter is not four numbers"),
        ([(6, 0, 0, -1)], "out of its range"),
        ([(6, 256, 0, 1)], "out of its range"),
        ([(6, 0, 0, 1 << 32)], "out of its range"),
        ([(6.0, 0, 0, 1)], "out of its range"),
    ],
    ids=repr,
)
def test_what_is_no_filter(given: object, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        BerkeleyFilter.of(given)
    assert why in caught.value.message
    assert "tcp port 80" in (caught.value.hint or "")


@pytest.mark.parametrize("given", [[], [(0xFF, 0, 0, 0), ACCEPT], [(5, 0, 0, 9)]], ids=repr)
def test_lists_of_instructions_are_checked(given: list[Code]) -> None:
    with pytest.raises(LiteralError):
        BerkeleyFilter.of(given)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_V8_expressions_that_are_accepted(text: str) -> None:
    assert BerkeleyFilter.parse(text).name == text


@pytest.mark.parametrize("text", REFUSED)
def test_V8_expressions_that_are_refused(text: str) -> None:
    with pytest.raises(LiteralError, match="libpcap refuses the filter: "):
        BerkeleyFilter.parse(text)


def test_the_tables_are_long() -> None:
    assert len(set(EXPRESSIONS)) > 100
    assert len(set(REFUSED)) > 40


@pytest.mark.parametrize(
    "text",
    ["2,48 0 0 23,6 0 0 1", "2\n48 0 0 23\n6 0 0 1\n", " 2 , 48 0 0 23 , 6 0 0 1, ", "2\r\n48\t0 0 23\r\n6 0 0 1"],
)
def test_bytecode_in_lines_or_with_commas(text: str) -> None:
    assert BerkeleyFilter.parse(text).instructions == ((48, 0, 0, 23), (6, 0, 0, 1))


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("text", ["tcp port 80", "vlan and ip host 10.0.0.1", "ip[8] < 64"])
def test_V8_what_tcpdump_prints_is_read(text: str) -> None:
    path = next(iter(ethernet_captures()))
    printed = subprocess.run(["tcpdump", "-ddd", "-r", str(path), text], capture_output=True, check=True, text=True)
    assert BerkeleyFilter.parse(printed.stdout).instructions == BerkeleyFilter.parse(text).instructions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "the bytecode must begin with the number of its instructions"),
        ("0", "the filter has no instructions"),
        ("2,6 0 0 0", "the bytecode must begin with the number of its instructions"),
        ("6 0 0 0", "the bytecode must begin with the number of its instructions"),
        ("1,6 0 0", "instruction 0 of the filter does not have four numbers"),
        ("1,6 0 0 0 0", "instruction 0 of the filter does not have four numbers"),
        ("1,6 0 0 4294967296", "instruction 0 of the filter has a number that is too large"),
        ("1,65536 0 0 0", "instruction 0 of the filter has a number that is too large"),
        ("2,6 0 0 0,6 256 0 0", "instruction 1 of the filter has a number that is too large"),
        (f"1,6 0 0 {'9' * 5000}", "instruction 0 of the filter has a number that is too large"),
        (bytecode((7, 0, 0, 0), (255, 0, 0, 0)), "instruction 1 of the filter has the unknown code 0xff"),
        (bytecode((0x40 | 0x18, 0, 0, 0), ACCEPT), "instruction 0 of the filter has the unknown code 0x58"),
        (bytecode((48, 0, 0, 0)), "instruction 0 of the filter goes past the end"),
        (bytecode((0x15, 0, 1, 0), ACCEPT), "instruction 0 of the filter goes past the end"),
        (bytecode((0x05, 0, 0, 1), ACCEPT), "instruction 0 of the filter goes past the end"),
        (bytecode(ACCEPT, (0x05, 0, 0, 0xFFFFFFFE)), "instruction 1 of the filter jumps backwards, as `protochain`"),
        (bytecode((0x34, 0, 0, 0), ACCEPT), "instruction 0 of the filter divides by 0"),
        (bytecode((0x94, 0, 0, 0), ACCEPT), "instruction 0 of the filter divides by 0"),
        (bytecode((0x64, 0, 0, 32), ACCEPT), "instruction 0 of the filter shifts by 32 bits, which is more than 31"),
        (bytecode((0x02, 0, 0, 16), ACCEPT), "instruction 0 of the filter uses cell 16 of the memory, which has 16"),
        (bytecode((0x60, 0, 0, 3), ACCEPT), "instruction 0 of the filter fetches cell 3 of the memory, into which"),
        (bytecode((0x15, 1, 0, 0), (2, 0, 0, 3), (0x61, 0, 0, 3), ACCEPT), "instruction 2 of the filter fetches cell"),
        (bytecode((0x28, 0, 0, 0xFFFFF02C), ACCEPT), "instruction 0 of the filter asks for what is not in the packet"),
        ("inbound", "instruction 0 of the filter asks for what is not in the packet, such as its direction"),
        ("ip6 protochain 6", "of the filter jumps backwards, as `protochain` does; `l4_proto` looks behind"),
        ("tcp\0 port 80", "the filter contains a NUL character"),
    ],
)
def test_V8_filters_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(LiteralError) as caught:
        BerkeleyFilter.parse(text)
    assert message in caught.value.message


def test_filters_that_are_too_large() -> None:
    assert len(made(*[(7, 0, 0, 0)] * 4095, ACCEPT).instructions) == 4096
    with pytest.raises(TooBigError, match="4097 instructions; at most 4096"):
        made(*[(7, 0, 0, 0)] * 4096, ACCEPT)
    with pytest.raises(TooBigError, match="2001 characters; at most 2000"):
        BerkeleyFilter.parse("tcp".ljust(2001))
    assert BerkeleyFilter.parse("tcp".ljust(2000))


def test_many_long_expressions_are_too_much_work() -> None:
    texts = [f"port {number} or {' or '.join(f'host 10.0.0.{at}' for at in range(50))}" for number in range(30)]
    program = " >-> ".join(f'when (bpf "{text}") (inc 1)' for text in texts)
    with pytest.raises(TooBigError, match="takes more than 200000 steps"):
        compile_text(program)


def test_control_characters_do_not_reach_the_terminal() -> None:
    with pytest.raises(LiteralError) as caught:
        BerkeleyFilter.parse("port \x1b[31m")
    assert "\x1b" not in caught.value.message


def test_libpcap_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpcap, "find_library", lambda name: None)
    libpcap._library.cache_clear()
    try:
        with pytest.raises(MachineError, match="libpcap is missing") as caught:
            compile_text('filter (bpf "tcp")')
        assert "apt-get install libpcap0.8" in str(caught.value)
        assert compile_text('filter (bpf "1,6 0 0 1")')
    finally:
        libpcap._library.cache_clear()


def test_threads_compile_at_once() -> None:
    found: list[BerkeleyFilter] = []
    text = "tcp port 80 or udp port 53 or host 10.0.0.1"
    threads = [Thread(target=lambda: found.extend(BerkeleyFilter.parse(text) for _ in range(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert len(set(found)) == 1


# programs


@pytest.mark.parametrize(
    "text",
    ['filter (bpf "tcp port 80")', 'wanted :: BerkeleyFilter\nwanted = "tcp port 80"\nmain = filter (bpf wanted)'],
)
def test_programs(text: str) -> None:
    program = compile_text(text)
    assert filter_of(program) == BerkeleyFilter.parse("tcp port 80")
    assert str(program) == 'filter (bpf "tcp port 80")'
    assert compile_text(str(program)) == program == from_json(to_json(program))
    assert '"argType": "String", "argValue": "tcp port 80"' in to_json(program)


def test_python_expressions() -> None:
    program = compile_text('filter (bpf "tcp port 80")')
    assert keep(bpf("tcp port 80")).program() == program
    assert keep(bpf(BerkeleyFilter.parse("tcp port 80"))).program() == program
    with pytest.raises(TypeMismatchError, match="must be a filter expression, but 80 is a number"):
        bpf(80)
    with pytest.raises(ProgramError, match="libpcap refuses the filter"):
        bpf("tcp prt 80")


# what is accepted, by hand


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        ("len = 54", "pkt_len .== 54"),
        ("ether[12:2] = 0x0806", "is_l3_proto 0x0806"),
        ("vlan", "has_vlan"),
        ("less 60", "pkt_len .<= 60"),
    ],
)
def test_accepts_what_a_predicate_does(text: str, predicate: str) -> None:
    common = accepted("pkt_len .>= 16") - {"tcp4 other tag"}  # libpcap takes 0x9100 for a tag too
    assert accepted(f'bpf "{text}"') & common == accepted(predicate) & common


def test_frames_by_hand() -> None:
    assert {"tcp4", "tcp6", "tcp4 ttl 5", "tcp4 options"} <= accepted('bpf "tcp port 80"')
    assert not {"udp4", "arp", "tcp4 later fragment", "nothing", "tcp4 one tag"} & accepted('bpf "tcp port 80"')
    assert accepted('bpf "vlan 5 and tcp port 80"') == {"tcp4 one tag", "tcp4 other tag"}
    assert accepted('bpf ""') == set(FRAMES)


def test_the_tag_that_the_device_took_off_is_seen() -> None:
    frame = FRAMES["tcp4"]
    for text, with_tag, without in (
        ("vlan 5 and tcp port 80", True, False),
        ("tcp port 80", False, True),
        ("vlan 6", False, False),
        (f"len = {len(frame) + 4}", True, False),
        ("ether[12:4] = 0x88a80005", True, False),
        ("ether[10:4] & 0xffff = 0x88a8", True, False),
    ):
        program = f'filter (bpf "{text}")'
        assert passed(program, frame, tag=Tag(0x88A8, 5)) is with_tag, text
        assert passed(program, frame) is without, text
    assert Packet(b"short", Tag(0x8100, 5)).wire_window == b""


def test_it_looks_at_the_outermost_frame() -> None:
    assert accepted('bpf "tcp"') == {
        name for name, frame in FRAMES.items() if passed('shift (filter (bpf "tcp"))', frame)
    }


@pytest.mark.parametrize(
    ("instructions", "result"),
    [
        ([(LD, 0, 0, 1), (LDX, 0, 0, 31), (LSH_X, 0, 0, 0), (0x14, 0, 0, 1 << 31)], 0),
        ([(LD, 0, 0, 0xFFFFFFFF), (LDX, 0, 0, 32), (LSH_X, 0, 0, 0)], 0),
        ([(LD, 0, 0, 0xFFFFFFFF), (LDX, 0, 0, 32), (RSH_X, 0, 0, 0)], 0),
        ([(LD, 0, 0, 0xFFFFFFFF), (LDX, 0, 0, 31), (RSH_X, 0, 0, 0), (0x14, 0, 0, 1)], 0),
        ([(LD, 0, 0, 0xFFFFFFFF), (ADD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 1), (0x14, 0, 0, 2), (ADD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 1 << 31), (0x24, 0, 0, 2)], 0),
        ([(LD, 0, 0, 1), (NEG, 0, 0, 0), (ADD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 7), (LDX, 0, 0, 0), (DIV_X, 0, 0, 0), (LD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 7), (LDX, 0, 0, 0), (MOD_X, 0, 0, 0), (LD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 7), (LDX, 0, 0, 4), (MOD_X, 0, 0, 0), (0x14, 0, 0, 3)], 0),
        ([(0x80, 0, 0, 0), (0x14, 0, 0, 600)], 0),
        ([(0x81, 0, 0, 0), (TXA, 0, 0, 0), (0x14, 0, 0, 600)], 0),
        ([(0x20, 0, 0, 508)], 1),
        ([(0x20, 0, 0, 509), (LD, 0, 0, 1)], 0),
        ([(0x28, 0, 0, 511), (LD, 0, 0, 1)], 0),
        ([(0x30, 0, 0, 512), (LD, 0, 0, 1)], 0),
        ([(0x30, 0, 0, 0xFFFFFFFF), (LD, 0, 0, 1)], 0),
        ([(LDX, 0, 0, 1), (0x50, 0, 0, 0xFFFFFFFF), (LD, 0, 0, 1)], 0),
        ([(LDX, 0, 0, 0xFFFFFFFF), (0x50, 0, 0, 1), (LD, 0, 0, 1)], 0),
        ([(0xB1, 0, 0, 511), (TXA, 0, 0, 0), (0x14, 0, 0, 28)], 0),
        ([(0xB1, 0, 0, 512), (LD, 0, 0, 1)], 0),
        ([(LD, 0, 0, 3), (2, 0, 0, 15), (LD, 0, 0, 0), (0x60, 0, 0, 15)], 1),
    ],
)
def test_V8_the_machine_by_hand(instructions: list[Code], result: int) -> None:
    """The filter returns A; frames have 600 bytes, of which it sees 512 that are all 0x27."""
    wanted = made(*instructions, RETURN_A)
    frame = bytes([0x27]) * 600
    assert wanted.accepts(frame[:512], 600) is bool(result)
    assert Judge(wanted).accepts(frame) is bool(result)


def test_every_code_is_known() -> None:
    """As many as the kernel's bpf_check_classic allows."""
    assert len(OPERATIONS) == 6 + 3 + 4 + 2 + 2 * 10 + 1 + 1 + 2 * 4 + 2 + 2


# what is accepted, by libpcap


def test_V8_captures_as_libpcap_says() -> None:
    every = [(BerkeleyFilter.parse(text), text) for text in EXPRESSIONS]
    judges = [(wanted, Judge(wanted), text) for wanted, text in every]
    counts: dict[str, int] = dict.fromkeys(EXPRESSIONS, 0)
    real = [frame for path in ethernet_captures() for frame in list(ethernet_frames(path))[:100]]
    for frame in (*real, *FRAMES.values(), *shapes().values()):
        for wanted, judge, text in judges:
            found = wanted.accepts(frame[:512], len(frame))
            assert found is judge.accepts(frame), (text, frame.hex())
            counts[text] += found
    assert sum(count > 0 for count in counts.values()) > 80


@settings(SETTINGS, max_examples=300)
@given(wanted=filters(), some_frames=st.lists(frames(), min_size=4, max_size=4))
def test_V8_bytecode_as_libpcap_says(wanted: BerkeleyFilter, some_frames: list[bytes]) -> None:
    judge = Judge(wanted)
    for frame in some_frames:
        assert wanted.accepts(frame[:512], len(frame)) is judge.accepts(frame)
