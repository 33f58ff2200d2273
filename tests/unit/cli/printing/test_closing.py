from __future__ import annotations

from dataclasses import replace

from pfq.cli.printing.closing import closing_lines, closing_record
from pfq.engine.statistics import CaptureStatistics, EndpointStatistics, GroupStatistics

NOTHING = GroupStatistics(arrived=0, filtered=0, dropped=0, selected=0, nobody=0, counters=(0,) * 64)


def endpoint(delivered: int, lost: int, read: int) -> EndpointStatistics:
    return EndpointStatistics(delivered + lost, delivered, lost, read, delivered - read)


def test_nothing() -> None:
    assert list(closing_lines(0, CaptureStatistics((NOTHING,), (endpoint(0, 0, 0),)))) == [
        "0 packets captured",
        "0 packets received by filter",
        "0 packets dropped by kernel",
    ]


def test_every_reason() -> None:
    group = GroupStatistics(arrived=100, filtered=10, dropped=20, selected=70, nobody=5, counters=(0,) * 64)
    statistics = CaptureStatistics((group,), (endpoint(30, 1, 30), endpoint(32, 2, 29)))
    assert list(closing_lines(1, statistics)) == [
        "1 packet captured",
        "100 packets received by filter",
        "3 packets dropped by kernel",
        "  10 not captured: rejected by the filter",
        "  20 not captured: dropped by the program",
        "  5 not captured: selected for a class that has no end-point",
        "  1 dropped by kernel: a ring of end-point 0 was full, its reader was too slow",
        "  2 dropped by kernel: a ring of end-point 1 was full, its reader was too slow",
        "  3 not captured: still in the rings of end-point 1 at the end",
        "  58 not captured: read, but the output ended",
    ]


def test_record() -> None:
    group = replace(NOTHING, arrived=4, filtered=1, dropped=1, selected=2, forwarded=3, unsent=2, to_linux=1)
    assert closing_record(1, CaptureStatistics((group,), (endpoint(1, 1, 1),)), events_missed=5) == {
        "type": "end",
        "captured": 1,
        "arrived": 4,
        "filtered": 1,
        "dropped": 1,
        "selected": 2,
        "nobody": 0,
        "forwarded": 3,
        "unsent": 2,
        "to_linux": 1,
        "lost": 1,
        "events_missed": 5,
        "endpoints": [{"selected": 2, "delivered": 1, "lost": 1, "read": 1, "waiting": 0}],
    }


def test_copies_to_several_endpoints_are_explained() -> None:
    group = GroupStatistics(arrived=10, filtered=0, dropped=0, selected=10, nobody=0, counters=(0,) * 64)
    lines = list(closing_lines(19, CaptureStatistics((group,), (endpoint(10, 0, 10), endpoint(9, 1, 9)))))
    assert "  20 copies for end-points were made of 10 packets" in lines


def test_copies_for_other_devices() -> None:
    """Those that the kernel refused are not among those sent."""
    group = replace(NOTHING, arrived=10, selected=10, forwarded=30, unsent=4)
    lines = list(closing_lines(10, CaptureStatistics((group,), (endpoint(10, 0, 10),))))
    assert lines[3:] == [
        "  26 sent on other devices, as the program says",
        "  4 not sent on other devices: the kernel refused",
    ]


def test_when_no_copy_could_be_sent() -> None:
    group = replace(NOTHING, arrived=4, selected=4, forwarded=4, unsent=4)
    lines = list(closing_lines(4, CaptureStatistics((group,), (endpoint(4, 0, 4),))))
    assert lines[3:] == ["  4 not sent on other devices: the kernel refused"]


def test_events_that_were_not_shown() -> None:
    lines = list(closing_lines(0, CaptureStatistics((NOTHING,), (endpoint(0, 0, 0),)), events_missed=7))
    assert lines[3:] == ["  7 not shown: events of the program beyond 100 a second"]
