"""What programs tell about packets: all of it, in order, at a limited rate, and on the command line."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from root.capture.harness import flow_frame, opened, packets, send, settled
from root.capture.senders import send_at_once
from root.network import ETHERTYPE, Pair

from pfq.codegen import layouts
from pfq.engine.events import ProgramEvent
from pfq.engine.hooks import HookChoice
from pfq.lang import to_program
from pfq.lang.action import ANY_CLASSES, Action, EventKind, Fanout
from pfq.lang.interp import decide

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MACS = b"\xff" * 6 + b"\x02pfqt\x00"
SECOND_NS = 1_000_000_000
BURST = PER_SECOND = 100


def frame_of(*words: int, payload: int = 46) -> bytes:
    return MACS + struct.pack(f">{len(words)}H", *words) + bytes(n % 251 for n in range(payload))


FRAMES = [
    *(frame_of(ETHERTYPE, payload=size) for size in (0, 1, 46, 177, 178, 179, 1500)),
    *(frame_of(0x8100, 0x2064, ETHERTYPE, payload=size) for size in (2, 46, 173, 174, 175, 200, 1496)),
    frame_of(0x88A8, 0x0FFF, 0x8100, 0, ETHERTYPE, payload=300),
    frame_of(0x8100, 0, ETHERTYPE),
    flow_frame(3),
]


def told(pair: Pair, program: str, *frames: bytes, **options: object) -> list[ProgramEvent]:
    """All that a program tells about some packets."""
    with opened(pair, program, slots=64, **options) as capture, pair.sender() as sender:
        send(sender, frames)
        settled(capture, len(frames))
        found = capture.events()
        assert capture.events() == [], "each once"
        assert capture.events_missed() == 0
    return found


@pytest.mark.parametrize("kind", ["log_buff", "log_packet", "trace"])
def test_length_and_first_bytes(netns_pair: Pair, mode: HookChoice, kind: str) -> None:
    """Up to 192 of them; a tag that Linux took off the frame is where it was."""
    found = told(netns_pair, kind, *FRAMES, hook=mode)
    assert [event.data for event in found] == [frame[:192] for frame in FRAMES]
    assert [event.len for event in found] == list(map(len, FRAMES))
    kinds = {"log_buff": EventKind.BUFFER, "log_packet": EventKind.PACKET, "trace": EventKind.TRACE}
    assert {(event.kind, event.text, event.ifindex) for event in found} == {(kinds[kind], "", netns_pair.ifindex_b)}


def test_in_the_order_of_calls_with_what_was_decided_by_then(netns_pair: Pair, mode: HookChoice) -> None:
    program = (
        'log_msg "first" >-> mark 7 >-> log_buff >-> put_state 8 >-> log_packet >-> steer_flow >-> trace >-> kernel '
        '>-> when (has_port 1003) (log_msg "port 1003") >-> broadcast >-> par (log_msg "told and undone" >-> drop) '
        '(log_msg "last")'
    )
    found = told(netns_pair, program, flow_frame(3), flow_frame(4), hook=mode)
    hashed = [decide(to_program("steer_flow"), flow_frame(number)).hash for number in (3, 4)]
    for packet, some in ((0, found[:7]), (1, found[7:])):
        steer = Action(Fanout.STEER, hash=hashed[packet], mark=7, state=8)
        to_linux = Action(Fanout.STEER, hash=hashed[packet], mark=7, state=8, kernel=True)
        every = Action(Fanout.COPY, ANY_CLASSES, hash=hashed[packet], mark=7, state=8, kernel=True)
        wanted = [
            (EventKind.MESSAGE, "first", Action()),
            (EventKind.BUFFER, "", Action(mark=7)),
            (EventKind.PACKET, "", Action(mark=7, state=8)),
            (EventKind.TRACE, "", steer),
            *([(EventKind.MESSAGE, "port 1003", to_linux)] if packet == 0 else []),
            (EventKind.MESSAGE, "told and undone", every),
            (EventKind.MESSAGE, "last", every),
        ]
        assert [(event.kind, event.text, event.action) for event in some] == wanted
        assert {event.data for event in some} == {flow_frame(3 + packet)}


@pytest.mark.parametrize("clock", ["ns", "none"])
def test_time_is_that_of_the_day(netns_pair: Pair, mode: HookChoice, clock: str) -> None:
    """Whatever the clock of the packets is."""
    start = time.time_ns()
    found = told(netns_pair, 'log_msg "now"', *map(flow_frame, range(50)), hook=mode, clock=clock)
    end = time.time_ns()
    times = [event.ts_ns for event in found]
    assert times == sorted(times)
    assert start - SECOND_NS // 100 < times[0] < times[-1] < end + SECOND_NS // 100


def test_dropped_packets_are_told_about_up_to_the_drop(netns_pair: Pair) -> None:
    found = told(netns_pair, 'log_msg "before" >-> drop >-> log_msg "behind"', flow_frame(0))
    assert [event.text for event in found] == ["before"]


def test_at_most_16_of_a_packet(netns_pair: Pair) -> None:
    """As the interpreter has it; the others are not missed."""
    program = " >-> ".join(f'log_msg "{number}"' for number in range(20))
    found = told(netns_pair, program, flow_frame(0), flow_frame(1))
    assert [event.text for event in found] == [f"{number}" for number in range(16)] * 2


def test_a_message_as_it_was_written(netns_pair: Pair) -> None:
    text = "grüß % {} \\\\ ' €" + "x" * 180
    found = told(netns_pair, f'log_msg "{text}"', flow_frame(0))
    assert [event.text for event in found] == [to_text(text)]


def to_text(literal: str) -> str:
    """What a string literal means."""
    (call,) = to_program(f'log_msg "{literal}"').main.calls
    return str(call.args[0])


def test_a_program_that_tells_nothing(netns_pair: Pair) -> None:
    assert told(netns_pair, "udp", flow_frame(0)) == []


def test_outgoing_packets(netns_pair: Pair) -> None:
    pair = netns_pair
    with opened(pair, "trace", direction="inout", slots=64) as capture:
        with Pair(pair.b, pair.a, pair.dev_b, pair.dev_a).sender() as sender:
            send(sender, [frame_of(0x8100, 5, ETHERTYPE)])
        with pair.sender() as sender:
            send(sender, [flow_frame(0)])
        settled(capture, 2)
        found = capture.events()
    assert [event.data for event in found] == [frame_of(0x8100, 5, ETHERTYPE), flow_frame(0)]
    assert {event.ifindex for event in found} == {pair.ifindex_b}


# the rate


def permitted(seconds: float) -> int:
    return int(BURST + PER_SECOND * seconds) + 1


def test_the_rate_is_limited_and_nothing_is_uncounted(netns_pair: Pair, mode: HookChoice) -> None:
    count = 10_000
    with opened(netns_pair, 'log_msg "one of many" >-> drop', hook=mode, slots=64) as capture:
        start = time.monotonic()
        with netns_pair.sender() as sender:
            send(sender, (flow_frame(number) for number in range(count)))
        settled(capture, count)
        seconds = time.monotonic() - start
        found = capture.events()
        assert BURST <= len(found) <= permitted(seconds)
        assert len(found) + capture.events_missed() == count
        assert [event.data[42:46] for event in found[:BURST]] == [n.to_bytes(4, "big") for n in range(BURST)]


def test_the_rate_recovers(netns_pair: Pair) -> None:
    """After a burst, so many a second: a third of a second is good for 33."""
    with opened(netns_pair, 'log_msg "many" >-> drop', slots=64) as capture, netns_pair.sender() as sender:
        send(sender, map(flow_frame, range(300)))
        settled(capture, 300)
        first = capture.events()
        time.sleep(1 / 3)
        send(sender, map(flow_frame, range(300)))
        settled(capture, 600)
        second = capture.events()
        apart = (second[-1].ts_ns - first[-1].ts_ns) / SECOND_NS
        assert PER_SECOND // 3 <= len(second) <= PER_SECOND * apart + 1
        assert len(first) + len(second) + capture.events_missed() == 600


@pytest.mark.parametrize("netns_pair", [2], indirect=True)
def test_the_rate_is_that_of_all_cpus_together(netns_pair: Pair, mode: HookChoice) -> None:
    """And no count is lost when both count at the same moment."""
    each, calls = 10_000, 12
    program = " >-> ".join([*["trace"] * calls, "drop"])
    with opened(netns_pair, program, hook=mode, slots=64) as capture:
        start = time.monotonic()
        send_at_once(netns_pair, each, [flow_frame(0)], [flow_frame(1)])
        settled(capture, 2 * each)
        found = capture.events()
        assert BURST <= len(found) <= permitted(time.monotonic() - start)
        assert len(found) + capture.events_missed() == 2 * each * calls


def test_what_nobody_reads_is_missed_when_there_is_no_room(netns_pair: Pair) -> None:
    """The bytes of the ring buffer are enough for some 990 events."""
    with opened(netns_pair, 'log_msg "unread" >-> drop', slots=64) as capture, netns_pair.sender() as sender:
        for part in range(15):
            # as if more than a second had passed
            struct.pack_into("<Q", capture._engine.memory._table, layouts.EVENT_TURN, 0)
            send(sender, map(flow_frame, range(BURST)))
            settled(capture, (part + 1) * BURST)
        sent = 15 * BURST
        assert capture.events_missed() > 400
        found = capture.events()
        assert 900 < len(found) == sent - capture.events_missed()
        struct.pack_into("<Q", capture._engine.memory._table, layouts.EVENT_TURN, 0)
        send(sender, map(flow_frame, range(BURST)))
        settled(capture, sent + BURST)
        assert len(capture.events()) == BURST


# the end


def test_events_after_the_end(netns_pair: Pair) -> None:
    """A stopped capture tells what it has; a closed one has nothing, and still knows what was missed."""
    with opened(netns_pair, 'log_msg "late"', slots=512) as capture:
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(400)))
        settled(capture, 400)
        capture.stop()
        found = capture.events()
        assert len(found) + capture.events_missed() == 400
        assert len(packets(capture[0])) == 400
    assert capture.events() == []
    assert capture.events_missed() == 400 - len(found)


# the command line

COMMAND = """
import sys
sys.path[:0] = {path!r}
from pfq.cli import main
sys.argv[1:] = {arguments!r}
main()
"""


@contextmanager
def command(pair: Pair, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`pfq capture` on the device."""
    code = COMMAND.format(path=sys.path, arguments=["capture", "-i", pair.dev_b, *arguments])
    words = pair.b.command(sys.executable, "-c", code)
    environment = {**os.environ, "TZ": "UTC"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def test_lines_on_stderr(netns_pair: Pair) -> None:
    program = 'when (has_port 1001) (log_msg "port 1001") >-> when (has_port 1002) (log_packet >-> trace)'
    with command(netns_pair, "-P", program, "-c", "3", "-t", "-q") as process:
        assert process.stderr is not None
        assert [process.stderr.readline().split()[0] for _ in range(2)] == ["listening", "TC"]
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(3)))
        said, talk = process.communicate(timeout=20)
    assert said.splitlines() == [f"IP 10.7.0.{n + 1}.{1000 + n} > 10.7.1.1.53: UDP, length 22" for n in range(3)]
    first, second, third, *counts = talk.splitlines()
    assert first == "[program] port 1001"
    assert second.startswith("[program] IP 10.7.0.3.1002 > 10.7.1.1.53: ")
    assert second.endswith(" [64 bytes]")
    assert third == f"{second} fan-out copy, mark 0, state 0"
    assert counts == ["3 packets captured", "3 packets received by filter", "0 packets dropped by kernel"]


def test_records(netns_pair: Pair) -> None:
    with command(netns_pair, "-P", 'mark 5 >-> log_msg "seen" >-> drop', "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "start"
        start = time.time_ns()
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(300)))
        records = [json.loads(process.stdout.readline()) for _ in range(BURST)]
        process.terminate()
        said, talk = process.communicate(timeout=20)
    records += map(json.loads, said.splitlines())
    *events, end = records
    assert {record["type"] for record in events} == {"event"}
    assert abs(events[0].pop("ts_ns") - start) < SECOND_NS
    assert events[0] == {
        "type": "event", "kind": "message", "text": "seen", "len": 64, "data": flow_frame(0).hex(), "ifindex": 12,
        "fanout": "copy", "hash": 0, "hash2": 0, "classes": 1, "mark": 5, "state": 0, "kernel": False,
    }  # fmt: skip
    assert (end["type"], end["dropped"]) == ("end", 300)
    assert len(events) + end["events_missed"] == 300
    assert talk == ""


def test_the_command_line_says_how_many_were_not_shown(netns_pair: Pair) -> None:
    with command(netns_pair, "-P", 'log_msg "seen"', "-c", "300", "-w", "/dev/null") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("listening")
        assert process.stderr.readline().startswith("TC")
        with netns_pair.sender() as sender:
            send(sender, map(flow_frame, range(300)))
        _, talk = process.communicate(timeout=20)
    *lines, last = talk.splitlines()
    shown = sum(line.endswith("[program] seen") for line in lines)
    assert last == f"  {300 - shown} not shown: events of the program beyond 100 a second"
    assert BURST <= shown < 300


def test_a_capture_is_one(netns_pair: Pair) -> None:
    """Two programs on one device tell their own."""
    with (
        opened(netns_pair, 'log_msg "one"', slots=64) as one,
        opened(netns_pair, 'log_msg "other"', slots=64) as other,
        netns_pair.sender() as sender,
    ):
        send(sender, [flow_frame(0)])
        for capture, text in ((one, "one"), (other, "other")):
            settled(capture, 1)
            assert [event.text for event in capture.events()] == [text]
