"""The counts at the end of `pfq run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pfq.cli.printing.closing import COUNTS, counted, packets

if TYPE_CHECKING:
    from pfq.engine.statistics import CaptureStatistics


def count_lines(taken: int | None, statistics: CaptureStatistics) -> Iterator[str]:
    """How many packets were selected and read, and where the others are.

    taken  packets printed or written; None when only counting was asked for
    """
    group = statistics.groups[0]
    yield counted(group.selected, "selected")
    yield counted(group.arrived, "read")
    for number, why in reasons(taken, statistics):
        if number:
            yield f"  {number} {why}"
    if len(statistics.endpoints) > 1:
        for i, endpoint in enumerate(statistics.endpoints):
            yield f"  {counted(endpoint.delivered, f'for end-point {i}')}"
    for i, number in enumerate(group.counters):
        if number:
            yield f"  counter {i}: {number}"


def reasons(taken: int | None, statistics: CaptureStatistics) -> Iterator[tuple[int, str]]:
    group = statistics.groups[0]
    yield group.filtered, "not selected: rejected by the filter"
    yield group.dropped, "not selected: dropped by the program"
    yield group.nobody, "selected for a class that has no end-point"
    if statistics.delivered > group.selected:
        yield statistics.delivered, f"copies for end-points were made of {packets(group.selected)}"
    yield group.forwarded, "copies for other devices, as the program says; files are sent nowhere"
    if taken is not None:
        yield group.selected - group.nobody - taken, "selected, but the output ended"


def count_record(
    taken: int | None, statistics: CaptureStatistics, files: Sequence[str], warnings: Sequence[str]
) -> dict[str, Any]:
    """The same as plain data; the names are those of `pfq capture` where it has them."""
    group = asdict(statistics.groups[0])
    return {
        "type": "end",
        "files": list(files),
        "captured": taken,
        **{name: group[name] for name in COUNTS},
        "lost": statistics.lost,
        "counters": {str(i): number for i, number in enumerate(group["counters"]) if number},
        "endpoints": [asdict(endpoint) for endpoint in statistics.endpoints],
        "warnings": list(warnings),
    }
