"""Reports: they pass every packet and change nothing else."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, action

from pfq.errors import RangeError
from pfq.lang.action import Action, Event, EventKind, Fanout
from pfq.lang.compile import compile_text

TCP = FRAMES["tcp4"]

KINDS = {"log_buff": EventKind.BUFFER, "log_packet": EventKind.PACKET, "trace": EventKind.TRACE}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("frame", FRAMES)
def test_a_report_passes_every_packet(name: str, frame: str) -> None:
    assert action(name, FRAMES[frame]) == Action(events=[Event(KINDS[name])])


def test_a_message_is_reported() -> None:
    assert action('log_msg "it came"', TCP) == Action(events=[Event(EventKind.MESSAGE, "it came")])


def test_reports_come_in_the_order_of_the_program() -> None:
    found = action('log_msg "a" >-> when is_udp trace >-> log_packet >-> log_msg "a"', TCP).events
    assert found == [Event(EventKind.MESSAGE, "a"), Event(EventKind.PACKET), Event(EventKind.MESSAGE, "a")]


def test_s03_after_a_drop_nothing_is_reported() -> None:
    assert action('drop >-> log_msg "a"', TCP) == Action(fanout=Fanout.DROP)


def test_a_packet_is_reported_16_times_at_most() -> None:
    assert len(action(" >-> ".join(["trace"] * 17), TCP).events) == 16


@pytest.mark.parametrize("text", ["", "x" * 200, "Gr\u00fc\u00dfe \u4e2d"])
def test_messages(text: str) -> None:
    assert action(f'log_msg "{text}"', TCP).events == [Event(EventKind.MESSAGE, text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 201, "a message has at most 200 characters, but this one has 201"),
        (r"a\nb", "a message is one line of printable characters"),
        (r"a\u{d800}", "a message is one line of printable characters"),
        (r"\x1b[31m", "a message is one line of printable characters"),
    ],
)
def test_what_is_no_message(text: str, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        compile_text(f'log_msg "{text}"')
