"""L1: every packet that arrives is accounted for, in every mode and with every kind of fan-out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from root.capture.harness import FLOWS, check_identities, flow_frame, opened, pinned, reading, send, settled
from root.network import Pair

from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

BROADCAST, FLOW, ROBIN = "unit", "ip >-> steer_flow", "steer_rrobin"
RATE_PPS = 50_000
FULL = {("xdp", 2, FLOW), ("tcx", 2, BROADCAST)}
"""These run with all the packets of the catalogue; the others, with rings that hold everything, with fewer."""


@pytest.mark.parametrize("program", [BROADCAST, FLOW, ROBIN])
@pytest.mark.parametrize("endpoints", [1, 2, 8])
def test_L1_identity(netns_pair: Pair, mode: HookChoice, endpoints: int, program: str) -> None:
    is_full = (mode, endpoints, program) in FULL
    count, slots = (100_000, 4096) if is_full else (20_000, 32_768)
    with opened(netns_pair, program, endpoints=endpoints, hook=mode, slots=slots, snaplen=96) as capture:
        pause = 0.001 if endpoints > 2 else 0.0  # or their threads leave the sender no time
        with netns_pair.sender() as sender, reading(capture, pause) as got:
            assert send(sender, map(flow_frame, range(count)), RATE_PPS) == count
            settled(capture, count)
        statistics = capture.statistics()
    check_identities(statistics)
    assert statistics.selected == count
    for flows, endpoint in zip(got, statistics.endpoints, strict=True):
        flows.check()
        assert len(flows.rows) == endpoint.read == endpoint.delivered
        assert len(flows.rings) <= 1, "the sender stays on one CPU"
        assert is_full or endpoint.lost == 0
    copies = endpoints if program == BROADCAST else 1
    assert sum(endpoint.selected for endpoint in statistics.endpoints) == copies * count
    together = np.sort(np.concatenate([flows.numbers for flows in got]))
    assert len(together) == copies * count - statistics.lost
    assert np.array_equal(np.unique(together), together[::copies]) or statistics.lost
    if program == FLOW:
        assert sum(len(flows.flows) for flows in got) == FLOWS, "each flow is at one end-point"
    if program == ROBIN:
        shares = [endpoint.selected for endpoint in statistics.endpoints]
        assert max(shares) - min(shares) <= 1


def test_L1_dropped_and_nobody(netns_pair: Pair, mode: HookChoice) -> None:
    """`dropped` and `nobody` are the program's doing, and no loss."""
    program = "conditional (has_src_port 1000) drop (when (has_src_port 1001) (classify 5))"
    with opened(netns_pair, program, hook=mode) as capture:
        with netns_pair.sender() as sender, reading(capture) as got:
            send(sender, map(flow_frame, range(3200)))
            settled(capture, 3200)
        statistics = capture.statistics()
    check_identities(statistics)
    (group,) = statistics.groups
    assert (group.arrived, group.filtered, group.dropped, group.selected, group.nobody) == (3200, 0, 100, 3100, 100)
    assert len(got[0].rows) == statistics.endpoints[0].selected == 3000


@pytest.mark.parametrize("netns_pair", [2], indirect=True)
def test_L1_two_cpus_at_once(netns_pair: Pair, mode: HookChoice) -> None:
    """Each CPU has counters and rings of its own; the sums are right."""
    cpus, each = sorted(os.sched_getaffinity(0))[:2], 10_000

    def run(first: int, cpu: int) -> None:
        with netns_pair.sender() as sender, pinned(cpu):
            sender.bypass_queueing()
            for start in range(first, 2 * each, 200):
                sender.send(map(flow_frame, range(start, start + 100)))

    with opened(netns_pair, FLOW, endpoints=2, hook=mode, slots=32_768, snaplen=96) as capture:
        with reading(capture, 0.001) as got, ThreadPoolExecutor() as pool:
            list(pool.map(run, (0, 100), cpus))
            settled(capture, 2 * each)
        statistics = capture.statistics()
    check_identities(statistics)
    assert (statistics.selected, statistics.lost) == (2 * each, 0)
    assert sorted(np.concatenate([flows.numbers for flows in got]).tolist()) == list(range(2 * each))
    assert all(len(flows.rows) == endpoint.read for flows, endpoint in zip(got, statistics.endpoints, strict=True))
    assert all(flows.rings == set(cpus) for flows in got)
