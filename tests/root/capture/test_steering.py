"""Which end-points get a packet, seen from outside; `test_reference` compares every choice with the references."""

from __future__ import annotations

import os

import pytest
from root.capture.harness import FLOWS, check_identities, flow_frame, flows, opened, pinned, settled
from root.network import Pair

from pfq.engine.hooks import HookChoice

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

COUNT = 960


def shares(pair: Pair, mode: HookChoice, program: str, endpoints: int) -> tuple[list[int], int]:
    """How many of `COUNT` packets each end-point gets, and for how many there was nobody."""
    with opened(pair, program, hook=mode, endpoints=endpoints, snaplen=96) as capture, pair.sender() as sender:
        with pinned():
            sender.send(map(flow_frame, range(COUNT)))
        settled(capture, COUNT)
        capture.stop()
        got = [flows(reader) for reader in capture]
        statistics = capture.statistics()
    check_identities(statistics)
    for flow in got:
        flow.check()
    return [len(flow.rows) for flow in got], statistics.groups[0].nobody


def test_steer_flow_keeps_both_directions_of_a_flow_together(netns_pair: Pair, mode: HookChoice) -> None:
    with opened(netns_pair, "steer_flow", hook=mode, endpoints=8, snaplen=96) as capture:
        with netns_pair.sender() as sender, pinned():
            sender.send(map(flow_frame, range(COUNT)))
        settled(capture, COUNT)
        capture.stop()
        got = [flows(reader) for reader in capture]
    for flow in got:
        flow.check()
        for number in flow.flows:
            assert (flow.numbers % FLOWS == number).sum() == COUNT // FLOWS, "all of the flow, requests and replies"
    assert sum(len(flow.flows) for flow in got) == FLOWS
    assert sum(1 for flow in got if flow.flows) > 1, "the flows are spread"


@pytest.mark.parametrize(("number", "member"), [(2, 2), (65_538, 0)])
def test_steer_to(netns_pair: Pair, mode: HookChoice, number: int, member: int) -> None:
    got, nobody = shares(netns_pair, mode, f"steer_to {number}", 3)
    assert got == [COUNT if i == member else 0 for i in range(3)]
    assert nobody == 0


def test_steer_rrobin_is_even_on_each_cpu(netns_pair: Pair, mode: HookChoice) -> None:
    cpus, endpoints, each = sorted(os.sched_getaffinity(0))[:2], 3, 500
    with opened(netns_pair, "steer_rrobin", hook=mode, endpoints=endpoints, snaplen=96) as capture:
        with netns_pair.sender() as sender:
            for i, cpu in enumerate(cpus):
                with pinned(cpu):
                    sender.send(map(flow_frame, range(each)))
                settled(capture, (i + 1) * each)
        capture.stop()
        counts = dict.fromkeys(((ring, number) for ring in cpus for number in range(endpoints)), 0)
        for number, reader in enumerate(capture):
            for batch in reader:
                counts[batch.ring, number] += len(batch)
    assert counts == {(ring, number): 167 if number < 2 else 166 for ring in cpus for number in range(endpoints)}


def test_broadcast_copies_to_all(netns_pair: Pair, mode: HookChoice) -> None:
    assert shares(netns_pair, mode, "steer_flow >-> broadcast", 5) == ([COUNT] * 5, 0)


def test_an_empty_class_is_nobody(netns_pair: Pair, mode: HookChoice) -> None:
    assert shares(netns_pair, mode, "steer_flow >-> classify 7", 2) == ([0, 0], COUNT)


@pytest.mark.parametrize("hook", ["xdp", "clsact"])
def test_sixty_four_end_points(netns_pair: Pair, hook: HookChoice) -> None:
    assert shares(netns_pair, hook, "broadcast", 64) == ([COUNT] * 64, 0)
