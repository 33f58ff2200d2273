"""What must hold at the end of the demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pfq.cli.demo.sender import Sent
from pfq.cli.demo.traffic import Numbers, Traffic
from pfq.engine.statistics import CaptureStatistics


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence with its figures, and whether it is true."""

    holds: bool
    text: str


def whole_flows(counts: Sequence[Numbers], replays: int, traffic: Traffic) -> Check:
    """Every flow, all packets of it, is in exactly one end-point."""
    matrix = np.stack(list(counts))
    whole = traffic.packets_of_flows * replays
    homes = (matrix > 0).sum(axis=0)
    right = (homes == 1) & (matrix.max(axis=0) == whole)
    return Check(
        bool(right.all()),
        f"{int(right.sum())} of {traffic.flow_count} flows arrived whole in exactly one end-point",
    )


def online_checks(
    statistics: CaptureStatistics, sent: Sent, counts: Sequence[Numbers], strangers: int, traffic: Traffic
) -> list[Check]:
    """The checks of the run in the kernel."""
    group = statistics.groups[0]
    selected = int((traffic.flows >= 0).sum()) * sent.replays
    read = sum(endpoint.read for endpoint in statistics.endpoints)
    return [
        whole_flows(counts, sent.replays, traffic),
        Check(
            sent.packets == group.arrived,
            f"sent {sent.packets:,} ({sent.replays} replays) = arrived {group.arrived:,}",
        ),
        Check(
            group.arrived == group.filtered + group.dropped + group.selected and group.selected == selected,
            f"arrived {group.arrived:,} = filtered {group.filtered:,} + dropped by program {group.dropped:,} "
            f"+ selected {group.selected:,}",
        ),
        Check(
            group.selected == statistics.delivered + statistics.lost,
            f"selected {group.selected:,} = delivered {statistics.delivered:,} + lost {statistics.lost:,}",
        ),
        Check(
            statistics.delivered == read and strangers == 0,
            f"delivered {statistics.delivered:,} = read {read:,}, of which {strangers} not in the capture",
        ),
    ]


def offline_checks(counts: Sequence[Numbers], dropped: int, traffic: Traffic) -> list[Check]:
    """The checks of the run over the file."""
    packets, selected = len(traffic.frames), int(sum(flows.sum() for flows in counts))
    return [
        whole_flows(counts, 1, traffic),
        Check(
            packets == dropped + selected,
            f"read {packets:,} = dropped by program {dropped:,} + selected {selected:,}",
        ),
    ]
