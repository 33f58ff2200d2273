"""Events of a program on the terminal and as JSON."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.packets import ether, ip4, udp

from pfq.cli.decode import Decoder, Style
from pfq.cli.printing.events import EventLines, EventRecords
from pfq.cli.printing.stamps import stamps
from pfq.engine.capture import Capture
from pfq.engine.events import ProgramEvent
from pfq.lang.action import Action, EventKind, Fanout

UDP = ether(0x0800, ip4(17, udp()))
UDP_LINE = "IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 4"
NS = 1_000_000_000


def event(
    kind: EventKind, text: str = "", *, ts_ns: int = 5 * NS, action: Action | None = None, data: bytes = UDP
) -> ProgramEvent:
    return ProgramEvent(kind, text, ts_ns, len(UDP), data, 12, action or Action(mark=3))


def capture_of(*rounds: list[ProgramEvent]) -> Capture:
    waiting = list(rounds)
    return cast(Capture, SimpleNamespace(events=lambda: waiting.pop(0) if waiting else []))


def lines(*events: ProgramEvent, stamp: int = 2) -> list[str]:
    talk = io.StringIO()
    EventLines(capture_of(list(events)), Decoder(Style()), stamps(stamp), talk)()
    return talk.getvalue().splitlines()


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (event(EventKind.MESSAGE, "too many pings"), "too many pings"),
        (event(EventKind.BUFFER, data=b"\x01\xab"), "[46 bytes] 01 ab"),
        (event(EventKind.PACKET), f"{UDP_LINE} [46 bytes]"),
        (event(EventKind.TRACE), f"{UDP_LINE} [46 bytes] fan-out copy, mark 3, state 0"),
    ],
)
def test_a_line(told: ProgramEvent, line: str) -> None:
    assert lines(told) == [f"5.000000 [program] {line}"]


def test_time_is_printed_as_that_of_packets() -> None:
    told = [event(EventKind.MESSAGE, "one", ts_ns=5 * NS), event(EventKind.MESSAGE, "two", ts_ns=5 * NS + 1500)]
    assert lines(*told, stamp=1) == ["[program] one", "[program] two"]
    assert lines(*told, stamp=3) == [" 00:00:00.000000 [program] one", " 00:00:00.000001 [program] two"]


def test_each_call_prints_what_came_since() -> None:
    talk = io.StringIO()
    rounds = [[event(EventKind.MESSAGE, "one")], [], [event(EventKind.MESSAGE, "two")]]
    tell = EventLines(capture_of(*rounds), Decoder(Style()), stamps(1), talk)
    seen = []
    for _ in range(4):
        tell()
        seen.append(talk.getvalue())
    assert seen == ["[program] one\n"] * 2 + ["[program] one\n[program] two\n"] * 2


def test_records() -> None:
    talk = io.StringIO()
    action = Action(Fanout.STEER, 1 << 3, hash=9, kernel=True, mark=4, state=5)
    told = [event(EventKind.MESSAGE, 'a "ping"'), event(EventKind.TRACE, action=action, ts_ns=7, data=b"\x01\xff")]
    EventRecords(capture_of(told), talk)()
    first, second = (cast(dict[str, Any], json.loads(line)) for line in talk.getvalue().splitlines())
    assert (first["type"], first["kind"], first["text"], first["data"]) == ("event", "message", 'a "ping"', UDP.hex())
    assert second == {
        "type": "event", "kind": "trace", "text": "", "ts_ns": 7, "len": 46, "data": "01ff", "ifindex": 12,
        "fanout": "steer", "hash": 9, "hash2": 0, "classes": 8, "mark": 4, "state": 5, "kernel": True,
    }  # fmt: skip
