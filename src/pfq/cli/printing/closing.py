"""The counts at the end of a capture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pfq.engine.statistics import CaptureStatistics


COUNTS = ("arrived", "filtered", "dropped", "selected", "nobody", "forwarded", "unsent", "to_linux")


def closing_lines(captured: int, statistics: CaptureStatistics, events_missed: int = 0) -> Iterator[str]:
    """tcpdump's three lines, then where the packets are that were received and not captured."""
    yield counted(captured, "captured")
    yield counted(statistics.arrived, "received by filter")
    yield counted(statistics.lost, "dropped by kernel")
    for number, why in reasons(captured, statistics):
        if number:
            yield f"  {number} {why}"
    if events_missed:
        yield f"  {events_missed} not shown: events of the program beyond 100 a second"


def counted(number: int, what: str) -> str:
    return f"{packets(number)} {what}"


def packets(number: int) -> str:
    return f"{number} packet{'' if number == 1 else 's'}"


def reasons(captured: int, statistics: CaptureStatistics) -> Iterator[tuple[int, str]]:
    group = statistics.groups[0]
    copies = statistics.delivered + statistics.lost
    if copies > group.selected:
        yield copies, f"copies for end-points were made of {packets(group.selected)}"
    yield group.filtered, "not captured: rejected by the filter"
    yield group.dropped, "not captured: dropped by the program"
    yield group.nobody, "not captured: selected for a class that has no end-point"
    for i, endpoint in enumerate(statistics.endpoints):
        of = f" of end-point {i}" if len(statistics.endpoints) > 1 else ""
        yield endpoint.lost, f"dropped by kernel: a ring{of} was full, its reader was too slow"
        yield endpoint.waiting, f"not captured: still in the rings{of} at the end"
    yield group.forwarded - group.unsent, "sent on other devices, as the program says"
    yield group.unsent, "not sent on other devices: the kernel refused"
    read = sum(endpoint.read for endpoint in statistics.endpoints)
    yield read - captured, "not captured: read, but the output ended"


def closing_record(captured: int, statistics: CaptureStatistics, events_missed: int = 0) -> dict[str, Any]:
    """The same as plain data."""
    group = asdict(statistics.groups[0])
    return {
        "type": "end",
        "captured": captured,
        **{name: group[name] for name in COUNTS},
        "lost": statistics.lost,
        "events_missed": events_missed,
        "endpoints": [asdict(endpoint) for endpoint in statistics.endpoints],
    }
