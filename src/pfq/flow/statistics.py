"""Counts of a flow table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatistics:
    """Packets and flows since the beginning.

    packets = selected + those that the program or the filter did not select
    selected = in_flows + not_ip

    packets   packets read
    selected  those that the program and the filter selected, all when there is neither
    in_flows  those that belong to a flow
    not_ip    those that belong to none: neither IPv4 nor IPv6, or cut off in the IP header
    flows     flows begun
    open      flows that have not ended yet
    evicted   flows that ended early because the table was full
    lost      packets lost because a ring was full, in live captures
    """

    packets: int
    selected: int
    in_flows: int
    not_ip: int
    flows: int
    open: int
    evicted: int
    lost: int = 0
