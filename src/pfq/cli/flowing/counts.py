"""The counts at the end of `pfq flows`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pfq.cli.printing.closing import counted

if TYPE_CHECKING:
    from pfq.flow.statistics import FlowStatistics


def count_lines(counts: FlowStatistics) -> Iterator[str]:
    """Where all packets are, a line each."""
    yield counted(counts.packets, "read")
    if counts.selected != counts.packets:
        yield counted(counts.selected, "selected")
    yield counted(counts.in_flows, f"in {counts.flows} flow{'' if counts.flows == 1 else 's'}")
    yield counted(counts.not_ip, "in no flow: not IP")
    if counts.evicted:
        yield f"{counts.evicted} flows ended early: the table was full; --max-flows makes it larger"
    if counts.lost:
        yield counted(counts.lost, "dropped by kernel: a ring was full")


def count_record(counts: FlowStatistics) -> dict[str, Any]:
    """The same as plain data."""
    return {"type": "end", **asdict(counts)}
