"""Packets captured from a device are those that the same program selects in the file they were sent from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from root.capture.harness import check_identities, opened, packets, send, settled
from root.network import Pair
from support.frames import CAPTURES

import pfq
from pfq.engine.hooks import HookChoice
from pfq.engine.statistics import CaptureStatistics
from pfq.files import read_frames

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FILES = [
    CAPTURES / name
    for name in ("pcapplusplus-example.pcap", "pcapplusplus-VlanPackets.pcap", "pcapplusplus-ipv6.pcapng")
]
"""The demo's capture, tagged frames and IPv6."""

HOOKS: tuple[HookChoice, ...] = ("xdp", "clsact")


@dataclass(frozen=True)
class Case:
    """A program and what a group has beside it."""

    program: str
    endpoints: int = 1
    filter: str | None = None
    vlans: tuple[int, ...] | None = None


CASES = {
    "filter": Case("ip >-> tcp"),
    "ports": Case("filter (is_tcp .&&. has_port 443 .||. is_udp .&&. has_dst_port 53)"),
    "steering": Case("ip >-> steer_flow", 4),
    "steering by VLAN": Case("when (has_vid 118) (mark 118) >-> steer_vlan", 4),
    "sets of prefixes": Case('when (addr_in "212.199.202.0/24, 31.13.72.49, fe80::/10") (mark 1) >-> steer_p2p', 4),
    "turns": Case("tcp >-> steer_rrobin", 3),
    "group's expression": Case("steer_flow", 4, filter="tcp port 443 or udp or vlan"),
    "bytes far behind": Case("steer_p2p", 2, filter="ether[700] & 1 = 1 or vlan and ether[100] & 1 = 0"),
    "group's VLANs": Case("broadcast", 2, vlans=(118, 209)),
    "untagged, by expression": Case("inc 3 >-> steer_p2p", 2, filter="not udp port 53", vlans=(0,)),
    "predicate": Case('when (bpf "tcp[tcpflags] & tcp-syn != 0 and len < 100") (mark 2) >-> filter (has_mark 2)'),
    "mark and state": Case("when (has_port 53) (mark 53 >-> put_state 7) >-> unless is_ip6 (inc 1) >-> steer_flow", 4),
    "state of flows": Case("flow_inc key_5tuple 4096 600 >-> filter (flow_get key_5tuple 4096 600 .<= 5)", 1),
    "classes": Case("conditional is_udp (classify 3) (conditional (has_port 443) (steer_to 9) drop)", 2),
}

Row = tuple[bytes, int, int, int]
"""Bytes, length, mark and state of a packet."""


@dataclass(frozen=True)
class Result:
    """What each end-point got, in order, and the counts."""

    endpoints: list[list[Row]]
    statistics: CaptureStatistics


@cache
def sent() -> tuple[bytes, ...]:
    found = [frame for path in FILES for frame in read_frames(path)]
    assert all(len(frame.data) == frame.len for frame in found)
    return tuple(frame.data for frame in found)


@cache
def offline(case: Case) -> Result:
    got: list[list[Row]] = [[] for _ in range(case.endpoints)]
    with pfq.run(case.program, FILES, endpoints=case.endpoints, filter=case.filter, vlans=case.vlans) as run:
        for batch in run:
            columns = (batch.endpoints, batch.len, batch.mark, batch.state)
            for i, (mask, *fields) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
                for number in range(case.endpoints):
                    if mask >> number & 1:
                        got[number].append((batch.bytes(i), *fields))
        return Result(got, run.statistics())


def live(pair: Pair, hook: HookChoice, case: Case) -> Result:
    options = {"endpoints": case.endpoints, "filter": case.filter, "vlans": case.vlans}
    with opened(pair, case.program, hook=hook, snaplen=2016, slots=8192, **options) as capture:
        with pair.sender() as sender:
            send(sender, sent())
        settled(capture, len(sent()))
        capture.stop()
        got = [[(p.data, p.len, p.mark, p.state) for p in packets(reader)] for reader in capture]
        return Result(got, capture.statistics())


def counts(statistics: CaptureStatistics) -> tuple[object, ...]:
    """What must be equal; for a file nothing waits, and nothing was lost."""
    return statistics.groups, [(each.selected, each.delivered, each.lost) for each in statistics.endpoints]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_live_equals_offline(netns_pair: Pair, hook: HookChoice, case: Case) -> None:
    wanted, found = offline(case), live(netns_pair, hook, case)
    for number, (expected, got) in enumerate(zip(wanted.endpoints, found.endpoints, strict=True)):
        assert len(got) == len(expected), f"end-point {number}"
        assert got == expected, f"end-point {number}"
    assert counts(found.statistics) == counts(wanted.statistics)
    check_identities(found.statistics)
    check_identities(wanted.statistics)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_cases_divide_the_packets(case: Case) -> None:
    """Each lets some packets through and not all, or gives some to one end-point and some to another."""
    result = offline(case)
    sizes = [len(rows) for rows in result.endpoints]
    assert sum(sizes) > 0
    assert max(sizes) < len(sent())
