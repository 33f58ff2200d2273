"""What programs keep from packet to packet, with packets on two CPUs at once: limits, samples, flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from root.capture.harness import check_identities, opened, packets, send, settled, udp4
from root.capture.senders import send_at_once
from root.network import Pair

from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.lang import to_program
from pfq.lang.action import Fanout
from pfq.lang.interp import Interpreter

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

TWO_QUEUES = pytest.mark.parametrize("netns_pair", [2], indirect=True)
TWO_HOOKS = pytest.mark.parametrize("hook", ["xdp", "auto"])


def frame(flow: int, ttl: int = 64) -> bytes:
    """A packet of a flow; the time to live tells the program what to do with it."""
    made = udp4(bytes((10, 7, 0, 1)), bytes((10, 7, 0, 2)), (2000 + flow, 53), bytes(22))
    return made[:22] + bytes([ttl]) + made[23:]


def sent(pair: Pair, capture: Capture, frames: Sequence[bytes]) -> Callable[[int], int]:
    """Sends from one CPU; then tells by how much a counter grew."""
    before = capture.statistics()
    with pair.sender() as sender:
        send(sender, frames)
    after = settled(capture, before.arrived + len(frames))
    return lambda number: after.groups[0].counters[number] - before.groups[0].counters[number]


# limits


@TWO_HOOKS
@TWO_QUEUES
@pytest.mark.parametrize(("rate", "burst"), [(1000, 50), (50_000, 1)])
def test_a_limit_holds_for_both_cpus_together(netns_pair: Pair, hook: HookChoice, rate: int, burst: int) -> None:
    each = 10_000
    with opened(netns_pair, f"limit {rate} {burst}", hook=hook, slots=16_384, snaplen=64) as capture:
        start = time.monotonic()
        send_at_once(netns_pair, each, [frame(1)], [frame(2)])
        statistics = settled(capture, 2 * each)
        seconds = time.monotonic() - start
    check_identities(statistics)
    assert statistics.selected <= burst + rate * seconds + 1
    assert statistics.selected > burst, "it is given out anew"


@TWO_HOOKS
@TWO_QUEUES
def test_no_packet_passes_a_limit_by_a_race(netns_pair: Pair, hook: HookChoice) -> None:
    """A large burst, over which the CPUs quarrel in several places; none of it is given twice, and none is lost."""
    burst, each, places = 15_000, 20_000, range(4)
    program = " >-> ".join(f"par (limit 1 {burst} >-> inc {place}) unit" for place in places)
    with opened(netns_pair, f"{program} >-> drop", hook=hook, slots=64) as capture:
        start = time.monotonic()
        send_at_once(netns_pair, each, [frame(1)], [frame(2)])
        statistics = settled(capture, 2 * each)
        seconds = time.monotonic() - start
    for place in places:
        assert burst <= statistics.groups[0].counters[place] <= burst + seconds + 1


def test_a_limit_recovers(netns_pair: Pair) -> None:
    """At 100 a second a quarter of a second is good for 25 packets."""
    with opened(netns_pair, "limit 100 50 >-> inc 0", slots=64) as capture:
        start = time.monotonic()
        first = sent(netns_pair, capture, [frame(0)] * 200)(0)
        assert 50 <= first <= 50 + 100 * (time.monotonic() - start) + 1
        time.sleep(0.25)
        second = sent(netns_pair, capture, [frame(0)] * 200)(0)
        assert 25 <= second <= 51 + 100 * (time.monotonic() - start) - first


def burst_of(number: int) -> range:
    """What passes a limit of one packet a second with such a burst, by a sender that takes no two seconds."""
    return range(number, number + 3)


def test_each_place_has_a_limit_of_its_own(netns_pair: Pair) -> None:
    program = (
        "when (has_port 2001) (limit 1 10 >-> inc 0) >-> when (has_port 2002) (limit 1 10 >-> inc 1) >-> "
        "when (has_port 2002) (limit 1 5 >-> inc 2)"
    )
    with opened(netns_pair, program, slots=512) as capture:
        grown = sent(netns_pair, capture, [frame(flow) for flow in (1, 2, 3) for _ in range(100)])
        assert grown(0) in burst_of(10)
        assert grown(1) in burst_of(10)
        assert grown(2) in burst_of(5)
        assert capture.statistics().selected == grown(0) + grown(2) + 100


def test_incoming_and_outgoing_packets_have_one_limit(netns_pair: Pair) -> None:
    pair = netns_pair
    with opened(pair, "limit 1 20", direction="inout", slots=64) as capture:
        for one in (pair, Pair(pair.b, pair.a, pair.dev_b, pair.dev_a)):
            with one.sender() as sender:
                send(sender, [frame(0)] * 15)
        assert settled(capture, 30).selected in burst_of(20)


def test_two_captures_have_limits_of_their_own(netns_pair: Pair) -> None:
    """Though they share the compiled program."""
    with opened(netns_pair, "limit 1 20", slots=64) as one, netns_pair.sender() as sender:
        send(sender, [frame(0)] * 30)
        assert settled(one, 30).selected in burst_of(20)
        with opened(netns_pair, "limit 1 20", slots=64) as other:
            send(sender, [frame(0)] * 30)
            assert settled(other, 30).selected in burst_of(20)


# samples


def sampled(program: str, count: int) -> list[int]:
    """The numbers of the packets that pass, by the interpreter."""
    interpreter = Interpreter(to_program(program))
    return [n for n in range(count) if interpreter.decide(frame(n)).fanout is not Fanout.DROP]


def test_a_sample_is_that_of_the_interpreter(netns_pair: Pair, mode: HookChoice) -> None:
    frames = [frame(number) for number in range(2000)]
    with opened(netns_pair, "sample 10", hook=mode, slots=2048, snaplen=96) as capture, netns_pair.sender() as sender:
        send(sender, frames)
        settled(capture, len(frames))
        capture.stop()
        got = [packet.data for packet in packets(capture[0])]
    assert got == [frames[number] for number in sampled("sample 10", len(frames))]
    assert 150 < len(got) < 250


@TWO_HOOKS
@TWO_QUEUES
def test_each_cpu_has_a_sequence_of_its_own(netns_pair: Pair, hook: HookChoice) -> None:
    """So that the sum over the CPUs is right, however their packets fall together."""
    each = 8000
    with opened(netns_pair, "sample 10 >-> sample 4", hook=hook, slots=2048, snaplen=64) as capture:
        send_at_once(netns_pair, each, [frame(1)], [frame(2)])
        selected = settled(capture, 2 * each).selected
    assert selected == 2 * len(sampled("sample 10 >-> sample 4", each))


def test_all_and_nearly_none(netns_pair: Pair) -> None:
    with opened(netns_pair, "sample 1 >-> inc 0 >-> sample 4294967295 >-> inc 1", slots=64) as capture:
        grown = sent(netns_pair, capture, [frame(0)] * 1000)
        assert (grown(0), grown(1)) == (1000, len(sampled("sample 4294967295", 1000)))


# flows

TABLE = "key_5tuple 4096 60"
INCREASE = f"flow_inc {TABLE}"
PROBE = 1
"""Time to live of packets that ask for the number of their flow and do not change it."""


def counting_flows(expected: int) -> str:
    """Counter 0: probes that found this number; 1: those that found another one; 2: those that found none."""
    found = f"flow_get {TABLE}"
    probe = f"conditional ({found} .== {expected}) (inc 0) (conditional ({found} .>= 0) (inc 1) (inc 2))"
    return f"conditional (ip_ttl .== {PROBE}) ({probe}) ({INCREASE}) >-> drop"


def probes(flows: int) -> list[bytes]:
    return [frame(flow, PROBE) for flow in range(flows)]


def check_flows(pair: Pair, capture: Capture, flows: int) -> None:
    """Every flow has the expected number, and one that was never seen has none."""
    grown = sent(pair, capture, probes(flows + 1))
    assert [grown(number) for number in range(3)] == [flows, 0, 1]


@TWO_HOOKS
@TWO_QUEUES
def test_flows_that_stay_on_a_cpu_are_counted_exactly(netns_pair: Pair, hook: HookChoice) -> None:
    flows, each = 64, 100
    works = [[frame(flow) for flow in range(first, flows, 2)] for first in (0, 1)]
    with opened(netns_pair, counting_flows(each), hook=hook, slots=64) as capture:
        send_at_once(netns_pair, each, *works)
        settled(capture, flows * each)
        check_flows(netns_pair, capture, flows)


@TWO_HOOKS
@TWO_QUEUES
def test_flows_that_both_cpus_see_are_counted_exactly_once_they_are_known(netns_pair: Pair, hook: HookChoice) -> None:
    """Two that begin at the same moment are what may cost a count. Here each packet counts several times."""
    flows, each, calls = 2, 10_000, 6
    program = counting_flows(calls * (1 + 2 * each)).replace(INCREASE, " >-> ".join([INCREASE] * calls))
    with opened(netns_pair, program, hook=hook, slots=64) as capture:
        work = [frame(flow) for flow in range(flows)]
        sent(netns_pair, capture, work)
        send_at_once(netns_pair, each, work, work)
        settled(capture, flows * (1 + 2 * each))
        check_flows(netns_pair, capture, flows)


def test_both_directions_are_a_flow(netns_pair: Pair) -> None:
    reply = udp4(bytes((10, 7, 0, 2)), bytes((10, 7, 0, 1)), (53, 2000), bytes(22))
    with opened(netns_pair, counting_flows(5), slots=64) as capture:
        sent(netns_pair, capture, [frame(0), reply, reply, frame(0), reply])
        check_flows(netns_pair, capture, 1)


def test_a_flow_that_was_idle_is_forgotten(netns_pair: Pair) -> None:
    """By the real clock, after a second; asking keeps it in use."""
    table = "key_5tuple 8 1"
    program = f"when (flow_get {table} .== 7) (inc 0) >-> when (ip_ttl .== 64) (flow_put {table} 7)"
    with opened(netns_pair, program, slots=64) as capture:

        def known(*frames: bytes) -> int:
            return sent(netns_pair, capture, frames)(0)

        assert known(frame(0), frame(1)) == 0
        for _ in range(3):
            time.sleep(0.35)
            assert known(frame(0, PROBE)) == 1
        assert known(frame(1, PROBE)) == 0
        time.sleep(1.1)
        assert known(frame(0, PROBE)) == 0


def test_a_table_that_is_full_forgets_idle_flows_first(netns_pair: Pair) -> None:
    """A bucket has four entries; the flow that is always in use stays."""
    table = "key_5tuple 8 60"
    program = f"when (has_port 2000) (when (flow_get {table} .> 0) (inc 0)) >-> flow_inc {table}"
    frames = [each for flow in range(1, 200) for each in (frame(flow), frame(0))]
    with opened(netns_pair, program, slots=512) as capture:
        grown = sent(netns_pair, capture, [frame(0), *frames])
        assert grown(0) == 199
