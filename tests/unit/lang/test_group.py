"""The filters of a group, by hand: what they admit, and that nothing happens to what they reject."""

from __future__ import annotations

import pytest
from support.frames import ethernet, ip4, tcp, udp

from pfq.errors import UsageError
from pfq.lang.action import Action, Fanout
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text
from pfq.lang.group import ANY_VLAN, UNTAGGED, Filters, GroupInterpreter, Outcome, vlan_filter
from pfq.lang.packet import Packet, Tag

IP4, QTAG, STAG = 0x0800, 0x8100, 0x88A8
TCP, UDP = ethernet(ip4(tcp()), IP4), ethernet(ip4(udp(), 17), IP4)


def tagged(*controls: int) -> bytes:
    return ethernet(ip4(tcp()), IP4, [(QTAG, control) for control in controls])


def admits(ids: list[int] | None, frame: bytes, tag: Tag | None = None) -> bool:
    return Filters(vlans=vlan_filter(ids)).admits(Packet(frame, tag))


def test_without_filters_everything_passes() -> None:
    assert not Filters()
    assert all(Filters().admits(Packet(frame)) for frame in (TCP, b"", tagged(5)))


def test_an_empty_VLAN_filter_admits_nothing() -> None:
    assert Filters(vlans=frozenset())
    assert not any(admits([], frame) for frame in (TCP, tagged(5), tagged(0)))


def test_0_is_for_packets_without_an_id() -> None:
    some = {"none": TCP, "5": tagged(5), "priority": tagged(0xE000), "short": TCP[:13]}
    assert {name for name, frame in some.items() if admits([UNTAGGED], frame)} == {"none", "priority", "short"}


def test_any_is_1_to_4094() -> None:
    found = [number for number in range(4096) if admits([ANY_VLAN], tagged(0xA000 | number))]
    assert found == list(range(1, 4095))
    assert not admits([ANY_VLAN], TCP)


def test_the_outer_tag_counts() -> None:
    assert admits([5], tagged(5, 9))
    assert not admits([9], tagged(5, 9))
    assert admits([7], tagged(5), Tag(STAG, 7)), "the one that the device took off is the outer one"
    assert not admits([5], tagged(5), Tag(STAG, 7))
    assert admits([0], tagged(5), Tag(STAG, 0xE000))


def test_a_Berkeley_filter_sees_the_whole_frame_with_its_tag() -> None:
    wanted = Filters(BerkeleyFilter.parse("vlan 7 and ether[1000] = 9"))
    frame = TCP[:12] + bytes(984) + b"\x09"
    assert wanted.admits(Packet(frame, Tag(QTAG, 7)))
    assert not wanted.admits(Packet(frame, Tag(QTAG, 6)))
    assert not wanted.admits(Packet(frame[:-1], Tag(QTAG, 7), sent=2000)), "only the bytes that are there"
    assert Filters(BerkeleyFilter.parse("len = 2000")).admits(Packet(b"", sent=2000))


def test_both_filters_must_admit() -> None:
    wanted = Filters(BerkeleyFilter.parse("ip"), frozenset([0]))
    assert [wanted.admits(Packet(frame)) for frame in (TCP, tagged(0), ethernet(b"", 0x0806))] == [True, False, False]


def test_what_is_rejected_leaves_no_trace() -> None:
    group = GroupInterpreter(
        compile_text("flow_inc key_5tuple 64 60 >-> when (flow_get key_5tuple 64 60 .> 1) (mark 9) >-> inc 3"),
        Filters(BerkeleyFilter.parse("len > 60")),
    )
    assert group.decide(TCP, length=60) == (Outcome.FILTERED, Action(Fanout.DROP))
    assert group.decide(TCP, length=61) == (Outcome.SELECTED, Action(counters={3: 1}))
    assert group.decide(TCP, length=61) == (Outcome.SELECTED, Action(mark=9, counters={3: 1}))


def test_the_program_comes_behind_the_filters() -> None:
    group = GroupInterpreter(compile_text("udp"), Filters(BerkeleyFilter.parse("ip")))
    assert [group.decide(frame)[0] for frame in (TCP, UDP, b"")] == [
        Outcome.DROPPED,
        Outcome.SELECTED,
        Outcome.FILTERED,
    ]


def test_VLAN_filters_as_users_write_them() -> None:
    assert vlan_filter(None) is None
    assert vlan_filter(iter([5, 5, 0, -1])) == {0, 5, -1}
    assert vlan_filter(()) == frozenset()


@pytest.mark.parametrize("ids", [[4095], [-2], ["5"], [True], [1.0], 5, "5", b"5", [None]], ids=repr)
def test_VLAN_filters_that_cannot_be(ids: object) -> None:
    with pytest.raises(UsageError) as caught:
        vlan_filter(ids)  # type: ignore[arg-type]
    assert "0 is for packets without a tag" in (caught.value.hint or "")
