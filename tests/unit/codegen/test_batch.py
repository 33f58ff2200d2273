"""Groups in this process decide runs of packets as the reference does, and keep what they know between runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import ethernet as framed
from support.frames import frames, ip4, udp
from support.groups import FIRST_NS, MEMBERS, Reference, Run, Sighting, Verdict, native, verdict, verdicts_of, whole
from support.handmade import FRAMES
from support.programs import EVERY_PRIMITIVE, programs

from pfq.codegen import layouts
from pfq.codegen.batch import NativeGroup
from pfq.codegen.device import Group
from pfq.codegen.run_memory import EVENTS_ROOM
from pfq.columns.verdicts import VERDICT_DTYPE
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member
from pfq.lang.action import MAX_EVENTS, EventKind
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.group import GroupInterpreter, Outcome
from pfq.lang.interp import World
from pfq.lang.program import Program
from pfq.layout import RECORD_BYTES, VERDICT_BYTES

SECOND = 1_000_000_000
DNS = BerkeleyFilter.parse("udp port 53")


def group(text: str, wanted: BerkeleyFilter | None = None, vlans: frozenset[int] | None = None) -> Group:
    return Group(0, compile_text(text), wanted, vlans)


def in_pieces(made: NativeGroup, seen: Sequence[Sighting], sizes: Sequence[int]) -> list[Verdict]:
    """The verdicts when the run is cut into runs of so many packets, again and again."""
    run, found, at = Run(seen), np.zeros(len(seen), VERDICT_DTYPE), 0
    for size in [*sizes, *[1] * len(seen)]:
        count = min(size, len(seen) - at)
        assert made.run(run.address(at), count, found.ctypes.data + at * VERDICT_BYTES) == count
        at += count
    return [verdict(row) for row in found]


def agree(wanted: Group, seen: Sequence[Sighting], level: int = 2) -> list[Verdict]:
    """The verdicts on sightings, when reference and native code agree, in one run as in several."""
    reference = Reference(wanted)
    expected = [reference.decide(each) for each in seen]
    made = native(wanted, level=level)
    again = made.fresh()
    assert verdicts_of(made, seen) == expected
    assert in_pieces(again, seen, (0, 3, 1, 7)) == expected
    assert made.counts() == again.counts()
    assert made.counters() == again.counters()
    assert made.copies() == again.copies()
    counted = GroupStatistics(**made.counts(), counters=made.counters())
    outcomes = [each.outcome for each in expected]
    assert (counted.arrived, counted.filtered, counted.dropped, counted.selected) == (
        len(seen),
        *[outcomes.count(outcome) for outcome in Outcome],
    )
    lonely = [each for each in expected if each.outcome is Outcome.SELECTED and not each.endpoints]
    assert (counted.nobody, counted.to_linux) == (len(lonely), sum(each.kernel for each in expected))
    copies = [sum(number in each.endpoints for each in expected) for number in range(layouts.MAX_ENDPOINTS)]
    assert list(made.copies()) == copies
    return expected


@pytest.mark.parametrize("expression", ["udp port 53", "udp src port 7 or udp dst port 53", "not udp port 53"])
def test_a_port_that_was_cut_off_is_not_read_from_elsewhere(expression: str) -> None:
    """The record itself begins with the bytes of port 53; with others in the frame the packet has them."""
    frame = framed(ip4(udp(7, 53), 17), 0x0800)
    behind_source = frame.index(bytes([0, 7, 0, 53])) + 2
    seen = [Sighting(data, sent=len(frame), ts_ns=0x3500) for data in (frame, frame[:behind_source])]
    whole_one, cut = agree(group("unit", BerkeleyFilter.parse(expression)), seen)
    assert (whole_one.outcome is Outcome.SELECTED) is not expression.startswith("not")
    assert cut.outcome is (Outcome.SELECTED if "src port 7" in expression else Outcome.FILTERED)


HANDMADE = [Sighting(frame, tci=tci, ts_ns=FIRST_NS + at) for at, frame in enumerate(FRAMES.values()) for tci in (0, 5)]


@pytest.mark.parametrize("name", EVERY_PRIMITIVE)
def test_every_primitive_on_every_frame_made_by_hand(name: str) -> None:
    agree(Group(0, EVERY_PRIMITIVE[name]), HANDMADE)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_levels_change_nothing(level: int) -> None:
    for text in ("steer_flow", "when is_tcp (classify 2 >-> mark 3) >-> steer_rrobin", "double_steer_ip >-> kernel"):
        agree(group(text, BerkeleyFilter.parse("ip"), frozenset([0, 5])), HANDMADE, level)


@pytest.mark.slow
@settings(max_examples=25)
@given(program=programs, some_frames=st.lists(frames(), min_size=10, max_size=10))
def test_random_programs_on_random_frames(program: Program, some_frames: list[bytes]) -> None:
    agree(Group(0, program, BerkeleyFilter.parse("not arp")), whole(some_frames))


@given(some_frames=st.lists(frames(), max_size=20), cuts=st.lists(st.integers(0, 30), max_size=20))
@settings(max_examples=15)
def test_frames_of_which_the_beginning_is_there(some_frames: list[bytes], cuts: list[int]) -> None:
    seen = [Sighting(frame[:cut], sent=len(frame)) for frame, cut in zip(some_frames, cuts, strict=False)]
    agree(group("mark 1"), seen)
    agree(group("filter (pkt_len .> 50) >-> steer_flow", BerkeleyFilter.parse("len < 100 or ether[20] = 0")), seen)


def test_no_packets() -> None:
    made = native(group("unit"))
    assert made.run(0, 0, 0) == 0
    assert set(made.counts().values()) == {0}


def test_without_members_nobody_gets_anything() -> None:
    for text in ("unit", "steer_flow", "double_steer_ip", "steer_rrobin", "steer_to 3"):
        made = NativeGroup(compile_text(text))
        assert {each.endpoints for each in verdicts_of(made, whole([FRAMES["tcp4"]] * 3))} == {frozenset()}
        assert (made.counts()["selected"], made.counts()["nobody"]) == (3, 3)


def test_turns_go_on_from_run_to_run() -> None:
    made = native(group("steer_rrobin"), [Member(1), Member(4), Member(9)])
    found = [verdicts_of(made, whole([FRAMES["tcp4"]] * count)) for count in (1, 2, 4)]
    assert [[min(each.endpoints) for each in run] for run in found] == [[1], [4, 9], [1, 4, 9, 1]]


def test_flows_counts_and_rates_go_on_from_run_to_run() -> None:
    made = native(group("inc 5 >-> flow_inc key_5tuple 64 60 >-> when (flow_get key_5tuple 64 60 .> 2) (mark 1)"))
    marks = [[each.mark for each in verdicts_of(made, whole([FRAMES["udp4"]] * 2))] for _ in range(2)]
    assert (marks, made.counters()[5]) == ([[0, 0], [1, 1]], 4)
    assert [each.mark for each in verdicts_of(made.fresh(), whole([FRAMES["udp4"]] * 2))] == [0, 0]


def test_the_time_of_programs_is_that_of_the_records_and_never_goes_back() -> None:
    limited = group("limit 1 2 >-> steer_flow")
    stamps = [0, 10, 9, 9.5, 11, 3, 3.5, 12, 9, 20, 19.5, 19.5]
    seen = [Sighting(FRAMES["tcp4"], ts_ns=int(stamp * SECOND)) for stamp in stamps]
    passed = [each.outcome is Outcome.SELECTED for each in agree(limited, seen)]
    assert passed == [True, True, True, False, True, False, False, True, False, True, True, False]


def test_a_run_ends_with_the_last_one_wanted() -> None:
    made = native(group("mark 1", DNS), [Member(0)])
    other, dns = FRAMES["tcp4"], framed(ip4(udp(7, 53), 17), 0x0800)
    run = Run(whole([other, dns, other, dns, dns, other]))
    assert made.run(run.address(), len(run), 0, most=2) == 4
    assert made.counts() | {"filtered": 2, "selected": 2, "arrived": 4} == made.counts()
    assert made.run(run.address(4), 2, 0, most=2) == 2
    assert (made.counts()["arrived"], made.copies()[0]) == (6, 3)
    assert made.run(run.address(1), 1, 0, most=1) == 1


def test_verdicts_are_left_alone_when_nobody_wants_them() -> None:
    first, second = native(group("steer_flow", DNS)), native(group("steer_flow", DNS))
    run = Run(HANDMADE)
    assert first.run(run.address(), len(run)) == len(run)
    verdicts_of(second, HANDMADE)
    assert first.counts() == second.counts()


# what programs send and tell


def test_forwards_are_counted_and_nothing_is_sent() -> None:
    made = native(group('when is_tcp (forward "eth1" >-> forward "eth2") >-> when is_udp (forward "eth1" >-> drop)'))
    verdicts_of(made, whole([FRAMES[name] for name in ("tcp4", "udp4", "arp", "tcp4")]))
    assert (made.counts()["forwarded"], made.counts()["unsent"], made.counts()["dropped"]) == (5, 0, 1)


def test_link_leaves_out_the_interface_of_the_packet() -> None:
    made = native(group('link ["eth0", "eth1"]'))
    run = Run(whole([FRAMES["tcp4"]] * 4))
    run.records["interface"] = [0, 1, 2, 9]
    for names, forwarded in (((), 8), (("eth1", "lo", "eth0"), 6), (("a", "b", "c", *["d"] * 6, "eth0"), 7)):
        made.set_interfaces(names)
        before = made.counts()["forwarded"]
        assert made.run(run.address(), 4) == 4
        assert made.counts()["forwarded"] - before == forwarded


def test_own_addresses() -> None:
    made = native(group("dst ip_host"))
    for hosts, outcome in (((), Outcome.DROPPED), (("10.0.0.2",), Outcome.SELECTED), (("::2",), Outcome.DROPPED)):
        made.set_hosts(frozenset(map(ip_address, hosts)))
        assert [each.outcome for each in verdicts_of(made, whole([FRAMES["tcp4"]]))] == [outcome]


TELLING = 'when is_tcp (mark 3 >-> log_msg "tcp") >-> when is_udp (log_packet >-> trace >-> drop) >-> put_state 4'


def test_what_programs_tell() -> None:
    made = native(group(TELLING))
    run = Run(whole([FRAMES[name] for name in ("arp", "tcp4", "udp4", "tcp6")]))
    assert made.run(run.address(), len(run)) == len(run)
    told = [(event.index, made.plan.sites[event.site].kind) for event in made.events()]
    assert told == [(1, EventKind.MESSAGE), (2, EventKind.PACKET), (2, EventKind.TRACE), (3, EventKind.MESSAGE)]
    actions = [int.from_bytes(event.action[layouts.MARK : layouts.MARK + 4], "little") for event in made.events()]
    assert actions == [3, 0, 0, 3]
    assert made.run(run.address(), 1) == 1
    assert made.events() == []
    assert native(group("unit")).events() == []


def test_a_run_ends_before_there_is_no_room_for_what_programs_tell() -> None:
    """Nothing is lost when the run is gone on with, and no packet is decided twice."""
    calls = " >-> ".join(f'log_msg "{number}"' for number in range(MAX_EVENTS + 4))
    wanted = group(f"inc 0 >-> when is_tcp ({calls}) >-> when is_udp trace")
    made, reference = native(wanted), GroupInterpreter(wanted.program, wanted.filters)
    seen = whole([FRAMES[name] for name in ("tcp4", "udp4", "arp")] * 100)
    expected = [(at, event) for at, each in enumerate(seen) for event in reference.decide(each.data)[1].events]
    run, at, told, ends = Run(seen), 0, [], 0
    while at < len(seen):
        done = made.run(run.address() + at * RECORD_BYTES, len(seen) - at)
        events = made.events()
        assert done > 0
        assert len(events) <= EVENTS_ROOM
        told += [(at + event.index, made.plan.sites[event.site]) for event in events]
        at, ends = at + done, ends + 1
    assert told == expected
    assert ends > 5
    assert made.counters()[0] == len(seen)


def test_groups_in_several_threads() -> None:
    wanted = group("inc 1 >-> steer_flow", DNS)
    first = native(wanted, MEMBERS)
    made = [first, *(first.fresh() for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: [verdicts_of(each, HANDMADE) for _ in range(20)][-1], made))
    reference = Reference(wanted)
    expected = [reference.decide(each) for each in HANDMADE]
    assert found == [expected] * 4
    assert {each.counters()[1] for each in made} == {20 * sum(e.outcome is not Outcome.FILTERED for e in expected)}


def test_the_reference_asks_for_the_time_of_the_world() -> None:
    """The comparison itself can fail: another time gives another decision."""
    interpreter = GroupInterpreter(compile_text("limit 1 1"), group("unit").filters)
    found = [interpreter.decide(FRAMES["tcp4"], world=World(now_ns=now))[0] for now in (SECOND, SECOND + 1, 2 * SECOND)]
    assert found == [Outcome.SELECTED, Outcome.DROPPED, Outcome.SELECTED]
