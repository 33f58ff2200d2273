"""Statements 5 to 9, 18 to 24, 81 and 82 on packets of a device: who gets them, what groups filter and remember."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from root.capture.harness import opened, packets, send, settled
from root.network import Pair, traffic
from support.statements import (
    CONTROL,
    IP4,
    arp_frame,
    bound,
    by_port,
    ether,
    everyone,
    loaded,
    received,
    tcp_frame,
    udp_frame,
)

from pfq.engine.hooks import Way
from pfq.engine.steering import Member
from pfq.errors import (
    ArityError,
    DeviceMissingError,
    MainError,
    PfqError,
    ProgramError,
    RangeError,
    TypeMismatchError,
    UnknownNameError,
    UsageError,
)
from pfq.lang.action import CONTROL_CLASS
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.group import Filters, vlan_filter

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

SOME = [tcp_frame(note=1), udp_frame(note=2), arp_frame(3), udp_frame("2001:db8::1", "2001:db8::2", note=4)]
FLOWS = [make(f"10.0.0.{n}", f"10.1.{n}.2", (1000 + n, 80)) for make in (tcp_frame, udp_frame) for n in range(64)]
TCP_FLOWS, UDP_FLOWS = FLOWS[:64], FLOWS[64:]


def classes(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


IN_CLASSES = [
    Member(0),
    Member(1),
    Member(2, classes=classes(2)),
    Member(3, classes=classes(2, 5)),
    Member(4, classes=classes(62)),
    Member(5, classes=CONTROL),
    Member(6, classes=classes(0, CONTROL_CLASS)),
]
DEFAULT, SECOND, ANY = (0, 1, 6), (2, 3), (0, 1, 2, 3, 4, 6)
"""The end-points of class 0, of class 2, and of all classes but the control class."""


@contextmanager
def heard(pair: Pair) -> Iterator[list[bytes]]:
    """What Linux gets at `dev_b` while the block runs."""
    everything = socket.htons(3)
    found: list[bytes] = []
    with pair.b.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, everything) as plug:
        pair.b.call(plug.bind, (pair.dev_b, 0))
        plug.setblocking(False)
        yield found
        while True:
            try:
                found.append(plug.recv(2048))
            except BlockingIOError:
                return


REFUSED: dict[str, type[PfqError]] = {
    "steer_flwo": UnknownNameError,
    "port": ArityError,
    "port 1 2": ProgramError,
    "port tcp": TypeMismatchError,
    'port "80"': TypeMismatchError,
    "addr 80": TypeMismatchError,
    "port 65536": RangeError,
    "when drop drop": TypeMismatchError,
    "is_tcp": MainError,
    "inc 64": RangeError,
    'forward "pfqt-none"': DeviceMissingError,
    'bridge "pfqt-none"': DeviceMissingError,
    'tee "pfqt-none" is_tcp': DeviceMissingError,
    'tap "pfqt-none" is_tcp': DeviceMissingError,
    'steer_local_link "02:00:00:00:00"': RangeError,
    "bloom_filter 16777217 [10.0.0.1] 32": RangeError,
}


# who gets a packet


@pytest.mark.parametrize("program", [None, "unit"])
def test_s05_every_member_receives_every_packet_of_the_binding(netns_pair: Pair, program: str | None) -> None:
    with opened(netns_pair, program, endpoints=3, snaplen=128) as capture:
        with netns_pair.sender() as sender:
            send(sender, SOME)
        settled(capture, len(SOME))
        capture.stop()
        assert [[packet.data for packet in packets(reader)] for reader in capture] == [SOME] * 3


def test_s05_unit_is_for_class_0(netns_pair: Pair, way: Way) -> None:
    with bound(netns_pair, "unit", IN_CLASSES, way) as groups:
        assert groups.who(SOME) == [DEFAULT] * len(SOME)


def test_s06_broadcast_after_a_steering(netns_pair: Pair) -> None:
    text = "conditional is_tcp (steer_to 0) (classify 2 >-> steer_rrobin) >-> broadcast"
    with bound(netns_pair, text, IN_CLASSES) as groups:
        assert groups.who(SOME) == [ANY] * len(SOME)


def test_s07_the_last_steering_wins(netns_pair: Pair) -> None:
    last = {
        1: "steer_to 0 >-> steer_to 1",
        2: "broadcast >-> steer_to 2",
        3: "steer_to 1 >-> broadcast",
        4: "double_steer_ip >-> steer_to 1",
    }
    with bound(netns_pair, by_port(last), everyone(3)) as groups:
        assert groups.who([tcp_frame(ports=(n, 80)) for n in last]) == [(1,), (2,), (0, 1, 2), (1,)]


def test_s07_kernel_keeps_the_steering_and_passes_the_packet_up(netns_pair: Pair) -> None:
    places = []
    for text, to_linux in (("steer_flow", []), ("steer_flow >-> kernel", FLOWS)):
        with bound(netns_pair, text, everyone(3), inline=True) as groups, heard(netns_pair) as linux:
            places.append(groups.who(FLOWS))
        assert linux == to_linux
    assert places[0] == places[1]
    assert {len(place) for place in places[1]} == {1}


def test_s08_classify_restricts_delivery_and_steering(netns_pair: Pair) -> None:
    text = """classify 2 >-> when (has_port 80) steer_flow >-> when (has_src_port 7) (classify 5)"""
    with bound(netns_pair, text, IN_CLASSES) as groups:
        assert groups.who(SOME[1:]) == [SECOND] * 3
        assert set(groups.who(FLOWS)) == {(number,) for number in SECOND}
        assert groups.who([udp_frame(ports=(7, 7)), tcp_frame(ports=(7, 80))]) == [(3,), (3,)]


def test_s08_classify_0_changes_nothing(netns_pair: Pair) -> None:
    text = "when is_tcp (classify 2) >-> when is_udp broadcast >-> classify 0"
    with bound(netns_pair, text, IN_CLASSES) as groups:
        assert groups.who(SOME) == [SECOND, ANY, DEFAULT, ANY]


def test_s09_steering_after_broadcast_is_among_all_classes(netns_pair: Pair) -> None:
    with bound(netns_pair, "when is_tcp broadcast >-> steer_flow", IN_CLASSES) as groups:
        assert set(groups.who(TCP_FLOWS)) == {(number,) for number in ANY}
        assert set(groups.who(UDP_FLOWS)) == {(number,) for number in DEFAULT}


# filters of groups

DNS = BerkeleyFilter.parse("udp port 53")


@pytest.mark.parametrize("wanted", [DNS, BerkeleyFilter.of(list(DNS.instructions))], ids=["expression", "bytecode"])
def test_s81_Berkeley_filters_come_before_the_program(netns_pair: Pair, way: Way, wanted: BerkeleyFilter) -> None:
    """Each group has its own; what is rejected is counted, and the program never sees it."""
    some = [tcp_frame(), udp_frame(), udp_frame(ports=(53, 7)), udp_frame(ports=(7, 54)), arp_frame()]
    seen = "inc 0 >-> when is_udp (inc 1) >-> mark 7"
    filters = {2: Filters(wanted), 5: Filters(BerkeleyFilter.parse("not ip"))}
    members = {2: everyone(2), 5: [Member(2)], 9: [Member(3)]}
    with bound(netns_pair, {2: seen, 5: seen, 9: f"{seen} >-> drop"}, members, way, filters=filters) as groups:
        assert groups.who(some) == [(), (0, 1), (0, 1), (), (2,)]
        found = groups.statistics
    assert [(each.arrived, each.filtered, each.dropped, each.selected) for each in found] == [
        (5, 3, 0, 2),
        (5, 4, 0, 1),
        (5, 0, 5, 0),
    ]
    assert [each.counters[:2] for each in found] == [(2, 2), (1, 0), (5, 3)]


def test_s81_the_filter_is_gone_with_the_capture_that_had_it(netns_pair: Pair) -> None:
    for wanted, count in (("udp port 53", 2), (None, 4)):
        with opened(netns_pair, filter=wanted, endpoints=3) as capture, netns_pair.sender() as sender:
            send(sender, SOME)
            settled(capture, len(SOME))
            capture.stop()
            assert [len(packets(reader)) for reader in capture] == [count] * 3, "it applies to every member"


ALL_VLANS = (0, 0xE000, 1, 5, 0xE005, 100, 4094, 4095)
"""Control words of a tag: two priorities without an id, then ids."""


@pytest.mark.parametrize(
    ("ids", "passed"),
    [
        ([], []),
        ([0], [None, 0, 0xE000]),
        ([-1], [1, 5, 0xE005, 100, 4094]),
        ([0, -1], [None, 0, 0xE000, 1, 5, 0xE005, 100, 4094]),
        ([5], [5, 0xE005]),
        ([100, 0, 1], [None, 0, 0xE000, 1, 100]),
        (None, [None, *ALL_VLANS]),
    ],
    ids=str,
)
def test_s82_VLAN_filters(netns_pair: Pair, way: Way, ids: list[int] | None, passed: list[int | None]) -> None:
    """They begin empty; 0 is for packets without a tag, -1 for every id from 1 to 4094."""
    payload = udp_frame()[14:]
    some = {None: ether(IP4, payload)} | {word: ether(IP4, payload, tags=[word]) for word in ALL_VLANS}
    filters = {0: Filters(vlans=vlan_filter(ids))}
    with bound(netns_pair, "inc 3", everyone(1), way, filters=filters) as groups:
        found = dict(zip(some, groups.who(list(some.values())), strict=True))
        (counted,) = groups.statistics
    assert found == {word: (0,) if word in passed else () for word in some}
    assert (counted.filtered, counted.selected, counted.counters[3]) == (len(some) - len(passed), *[len(passed)] * 2)


@pytest.mark.parametrize("ids", [[4095], [-2], ["5"], [True], 5, "5"], ids=str)
def test_s82_there_are_no_other_ids(netns_pair: Pair, ids: object) -> None:
    with pytest.raises(UsageError):
        opened(netns_pair, vlans=ids)


# state, mark and counters


def test_s18_state_starts_at_0_in_every_group(netns_pair: Pair) -> None:
    count = "when (has_state 0) (inc 0) >-> when (has_state 5) (inc 5)"
    texts = {1: "when is_tcp (put_state 5)", 4: count, 9: f"when is_udp (put_state 5) >-> {count}"}
    with bound(netns_pair, texts, everyone(1)) as groups:
        groups.deliver(SOME)
        counters = [(group.counters[0], group.counters[5]) for group in groups.statistics]
    assert counters == [(0, 0), (4, 0), (2, 2)]


def test_s19_later_groups_see_the_mark_and_all_receivers_the_last_one(netns_pair: Pair) -> None:
    first, last = 0x89ABCDEF, 0x8000_0001
    texts = {
        3: f"filter (has_mark 0) >-> mark {first}",
        7: f"filter (has_mark {first})",
        9: f"when is_tcp (filter (has_mark {first}) >-> mark {last})",
    }
    members = {number: [Member(place)] for place, number in enumerate(texts)}
    with bound(netns_pair, texts, members) as groups:
        got = groups.deliver(SOME)
    assert [group.selected for group in groups.statistics] == [len(SOME)] * 3
    for packets_of_one in got.values():
        assert [packet.data for packet in packets_of_one] == SOME
        assert [packet.mark for packet in packets_of_one] == [last, first, first, first]


def test_s20_the_slot_header_has_the_state_of_the_highest_group_that_selected(netns_pair: Pair) -> None:
    texts = {1: f"put_state {2**32 - 1}", 2: "put_state 22 >-> udp", 6: "put_state 66 >-> tcp >-> classify 4"}
    members = {1: everyone(2), 2: [Member(0), Member(2)], 6: everyone(3)}
    with bound(netns_pair, texts, members) as groups:
        got = groups.deliver(SOME[:2])
    tcp, udp = SOME[:2]
    found = {number: [(each.data, each.state, each.group) for each in got[number]] for number in got}
    assert found == {
        0: [(tcp, 2**32 - 1, 1), (udp, 22, 2)],
        1: [(tcp, 2**32 - 1, 1), (udp, 2**32 - 1, 1)],
        2: [(udp, 22, 2)],
    }


def test_s21_counters_belong_to_their_group(netns_pair: Pair) -> None:
    texts = {2: "inc 0 >-> inc 63 >-> inc 63", 5: "when is_tcp (dec 0 >-> inc 7 >-> dec 7)", 6: "unit"}
    with bound(netns_pair, texts, everyone(1)) as groups:
        assert all(group.counters == (0,) * 64 for group in groups.statistics)
        groups.deliver(SOME)
        counters = [{n: count for n, count in enumerate(g.counters) if count} for g in groups.statistics]
    assert counters == [{0: 4, 63: 8}, {0: 2**64 - 1}, {}]


# programs come and go


def test_s22_a_refused_program_leaves_the_running_one_alone(netns_pair: Pair) -> None:
    with opened(netns_pair, "udp >-> steer_to 1", endpoints=2, snaplen=128) as capture:
        for text, error in REFUSED.items():
            with pytest.raises(PfqError) as caught:
                opened(netns_pair, text)
            assert isinstance(caught.value, error), text
        with netns_pair.sender() as sender:
            send(sender, SOME)
        settled(capture, len(SOME))
        capture.stop()
        assert [[packet.data for packet in packets(reader)] for reader in capture] == [[], [SOME[1], SOME[3]]]


def test_s23_link_leaves_unknown_devices_out(netns_pair: Pair) -> None:
    b = netns_pair.b
    b.run("ip", "link", "add", "pfqt-c", "type", "veth", "peer", "name", "pfqt-d")
    for device in ("pfqt-c", "pfqt-d"):
        b.run("ip", "link", "set", device, "up")
    with b.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as plug:
        b.call(plug.bind, ("pfqt-d", 0))
        plug.settimeout(2)
        with opened(netns_pair, 'link ["pfqt-none", "pfqt-c", "pfqt-b"]', snaplen=128) as capture:
            with netns_pair.sender() as sender:
                send(sender, SOME)
            settled(capture, len(SOME))
            capture.stop()
            assert [packet.data for packet in packets(capture[0])] == SOME
        assert [plug.recv(2048) for _ in SOME] == SOME


def test_s24_each_packet_meets_exactly_one_program(netns_pair: Pair, way: Way) -> None:
    with (
        loaded(netns_pair, "mark 1", everyone(1), way) as old,
        loaded(netns_pair, "mark 2", everyone(1), way) as new,
    ):
        programs = [groups.path.program(way, linear=False) for groups in (old, new)]
        attached = netns_pair.b.call(way.attach, programs[0], netns_pair.ifindex_b)
        with traffic(netns_pair, rate_pps=20_000, limit=4000) as sender:
            while sender.sent < 4000:
                attached.swap(programs[1])
                programs.reverse()
                time.sleep(0.004)
        attached.detach()
        arrived = [groups.statistics[0].arrived for groups in (old, new)]
        got = [received(groups.endpoints[0]) for groups in (old, new)]
    assert sum(arrived) == sender.sent
    assert [len(each) for each in got] == arrived
    assert min(arrived) > 0
    assert [{packet.mark for packet in each} for each in got] == [{1}, {2}]
    numbers = [int.from_bytes(packet.data[14:18], "big") for each in got for packet in each]
    assert sorted(numbers) == list(range(sender.sent)), "none is lost, none is met twice"
