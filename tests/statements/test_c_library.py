"""Statements 69 to 82 as a C program finds them, which has no rights but those that pfqd gives it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

import pytest
from root.client_c.conftest import Place, c, c_programs, place
from root.network import eventually, numbered
from support.c_client import ANY, DEFAULT, PRIVATE, RESTRICTED, SHARED, CClient

__all__ = ["c", "c_programs", "place"]

pytestmark = [pytest.mark.root, pytest.mark.slow]

UNDEFINED = 0
COARSE, NONE = 1, 2


def test_s69_open_makes_a_private_group(c: CClient) -> None:
    c.open()
    group = c("group_id", 0).code
    assert 0 <= group < 64
    assert c("groups_mask", 0).text == str(1 << group)
    assert 0 <= c("id", 0).code < 64
    c.open("nogroup", handle=1)
    assert (c("group_id", 1).code, c("groups_mask", 1).text) == (-1, "0")
    c.open(UNDEFINED, handle=2)
    assert (c("group_id", 2).code, c("groups_mask", 2).text) == (-1, "0")


@pytest.mark.parametrize(
    ("policy", "same_process", "other_process"), [(PRIVATE, (), ()), (RESTRICTED, (RESTRICTED,), ())]
)
def test_s70_who_may_join(
    c: CClient,
    c_programs: Callable[..., CClient],
    policy: int,
    same_process: tuple[int, ...],
    other_process: tuple[int, ...],
) -> None:
    other = c_programs()
    c.open(policy)
    c.open("nogroup", handle=1)
    other.open("nogroup")
    group = c("group_id", 0).code
    for asked in (UNDEFINED, PRIVATE, RESTRICTED, SHARED):
        here, there = c("join_group", 1, group, DEFAULT, asked), other("join_group", 0, group, DEFAULT, asked)
        assert here.code == (group if asked in same_process else -errno.EACCES), asked
        assert there.code == -errno.EACCES, asked
    assert c("join_group", 0, group, DEFAULT, policy).code == group, "its owner, again"


def test_s70_shared_groups_are_for_all_processes(c: CClient, c_programs: Callable[..., CClient]) -> None:
    c.open(SHARED)
    group = c("group_id", 0).code
    for program, handle in ((c, 1), (c_programs(), 0)):
        program.open("nogroup", handle=handle)
        for asked in (UNDEFINED, PRIVATE, RESTRICTED):
            assert program("join_group", handle, group, DEFAULT, asked).code == -errno.EACCES
        assert program("join_group", handle, group, DEFAULT, SHARED).code == group


def test_s71_joining_and_leaving(c: CClient) -> None:
    c.open("nogroup")
    assert [c("join_group", 0, ANY, DEFAULT, SHARED).code for _ in range(2)] == [0, 1]
    assert c("join_group", 0, 9, DEFAULT, SHARED).code == 9
    assert c("join_group", 0, 9, 3, SHARED).code == 9, "again"
    assert c("groups_mask", 0).text == str(1 << 9 | 3)
    assert c("group_id", 0).code == 0
    c.must("leave_group", 0, 0)
    assert (c("group_id", 0).code, c("groups_mask", 0).text) == (-1, str(1 << 9 | 2))
    assert c("join_group", 0, ANY, DEFAULT, SHARED).code == 0, "the lowest that is free"
    assert c("group_id", 0).code == 0
    assert c("join_group", 0, 64, DEFAULT, SHARED).code == -errno.EINVAL
    assert c("join_group", 0, 5, 0, SHARED).code == -errno.EINVAL, "no class"
    assert c("leave_group", 0, 40).code == -errno.ENOENT
    c.open("nogroup", handle=1)
    assert c("leave_group", 1, 9).code == 0, "it was not in"


def test_s72_binding(c: CClient, place: Place) -> None:
    device = place.pair.dev_b
    c.open("nogroup")
    assert c("bind", 0, device, ANY).code == -errno.ENOENT, "there is no default group"
    c.open(SHARED, handle=1)
    group = c("group_id", 1).code
    assert c("bind", 1, "nosuch", ANY).code == -errno.ENODEV
    for call in ("bind_group", "unbind_group"):
        assert c(call, 0, group, device, ANY).code == -errno.EACCES, "not a member"
        assert c(call, 0, 50, device, ANY).code == -errno.ENOENT
    assert c("unbind", 1, device, ANY).code == 0, "without a binding"
    assert c("bind", 1, device, ANY).code == 0
    assert c("bind", 1, device, 0).code == 0
    assert c("bind", 1, device, -2).code == -errno.EINVAL
    assert c("unbind", 1, device, 0).code == 0
    assert c("unbind", 1, device, ANY).code == 0
    assert c("unbind", 1, "nosuch", ANY).code == -errno.ENODEV


@pytest.mark.parametrize("policy", [PRIVATE, RESTRICTED, SHARED])
def test_s73_s74_who_reads_statistics(c: CClient, c_programs: Callable[..., CClient], policy: int) -> None:
    c.open("nogroup")
    assert c("get_group_stats", 0, 20).code == -errno.ENOENT
    assert c("join_group", 0, 20, DEFAULT, policy).code == 20
    assert c("get_group_stats", 0, 20).numbers == [0] * 8
    assert c("get_group_counters", 0, 20).numbers == [0] * 64
    other = c_programs()
    other.open("nogroup")
    c.open("nogroup", handle=1)
    readers = {PRIVATE: (), RESTRICTED: ((c, 1),), SHARED: ((c, 1), (other, 0))}[policy]
    for program, handle in ((c, 1), (other, 0)):
        wanted = 0 if (program, handle) in readers else -errno.EACCES
        assert program("get_group_stats", handle, 20).code == wanted
        assert program("get_group_counters", handle, 20).code == wanted


def test_s75_lengths_are_fixed_while_enabled(c: CClient) -> None:
    c.open(snaplen=64, slots=512)
    assert (c("get_snaplen", 0).code, c("get_slots", 0).code) == (64, 512)
    assert c("get_slot_size", 0).code == 128
    c.must("enable", 0)
    for call, value in (("set_snaplen", 100), ("set_slots", 1024), ("set_clock", NONE)):
        assert c(call, 0, value).code == -errno.EINVAL, call
    assert (c("get_snaplen", 0).code, c("get_slots", 0).code, c("get_clock", 0).code) == (64, 512, 0)
    c.must("disable", 0)
    c.must("set_snaplen", 0, 1000)
    c.must("set_slots", 0, 1000)
    assert (c("get_snaplen", 0).code, c("get_slots", 0).code, c("get_slot_size", 0).code) == (1000, 1024, 2048)
    for call, value in (("set_snaplen", 0), ("set_snaplen", 65536), ("set_slots", 1 << 20), ("set_weight", 9)):
        assert c(call, 0, value).code == -errno.EINVAL, call
    c.must("enable", 0)


def test_s76_enabled_or_not(c: CClient) -> None:
    c.open()
    assert c("is_enabled", 0).code == 0
    for call in ("drain", "poll", "dispatch", "stats"):
        assert c(call, 0, 0).code == -errno.EINVAL, call
    c.must("enable", 0)
    assert c("is_enabled", 0).code == 1
    assert c("enable", 0).code == -errno.EINVAL
    assert [c(call, 0, 0).code for call in ("drain", "poll", "dispatch")] == [0, 0, 0]
    assert c("stats", 0).numbers == [0, 0, 0, 0]
    c.must("disable", 0)
    assert (c("is_enabled", 0).code, c("groups_mask", 0).text, c("group_id", 0).code) == (0, "0", -1)
    assert c("drain", 0).code == -errno.EINVAL
    c.must("disable", 0)
    c.must("enable", 0)
    assert c("is_enabled", 0).code == 1


def header_of(c: CClient, place: Place, frame: bytes, handle: int = 0) -> list[int]:
    """What the slot of a frame says, once it has come."""
    with place.pair.sender() as sender:
        sender.send([frame])
    assert c("poll", handle, 5_000_000).code == 1
    return c("header", handle).numbers


def test_s77_time_stamps(c: CClient, place: Place) -> None:
    c.open(SHARED)
    assert c("get_clock", 0).code == 0, "other than in the original they are on"
    c.must("bind", 0, place.pair.dev_b, ANY)
    c.must("enable", 0)
    before = time.time_ns()
    assert before <= header_of(c, place, numbered(1))[0] <= time.time_ns()
    for clock in (COARSE, NONE):
        c.must("disable", 0)
        c.must("set_clock", 0, clock)
        assert c("get_clock", 0).code == clock
        c.must("join_group", 0, 0, DEFAULT, SHARED)
        c.must("bind", 0, place.pair.dev_b, ANY)
        c.must("enable", 0)
        stamp = header_of(c, place, numbered(2))[0]
        assert stamp == 0 if clock == NONE else abs(time.time_ns() - stamp) < 5e9


def test_s78_the_header_of_a_packet(c: CClient, place: Place) -> None:
    c.open(SHARED, snaplen=64)
    group = c("group_id", 0).code
    c.must("bind", 0, place.pair.dev_b, ANY)
    c.must("set_group_program", 0, group, "mark 77 >-> put_state 5")
    c.must("enable", 0)
    tagged = numbered(1, 200)
    tagged = tagged[:12] + b"\x81\x00\x20\x07" + tagged[12:]
    for frame, kept, tci in ((numbered(0, 60), 60, 0), (numbered(0, 1000), 64, 0), (tagged, 64, 0x2007)):
        _, length, ifindex, mark, state, caplen, queue, vlan, last = header_of(c, place, frame)
        assert (length, caplen, vlan) == (len(frame), kept, tci)
        assert (ifindex, mark, state, queue, last) == (place.pair.ifindex_b, 77, 5, 0, group)


def test_s79_a_full_ring_loses_and_counts(c: CClient, place: Place) -> None:
    c.open(SHARED, slots=32)
    c.must("bind", 0, place.pair.dev_b, ANY)
    c.must("enable", 0)
    with place.pair.sender() as sender:
        sender.send(numbered(n) for n in range(100))
    group = c("group_id", 0).code
    assert eventually(lambda: c("get_group_stats", 0, group).numbers[0] == 100, 5.0)
    delivered, lost, read, _ = c("stats", 0).numbers
    assert delivered + lost == c("get_group_stats", 0, group).numbers[3] == 100
    assert delivered >= 32
    assert lost > 0
    assert read == 0
    assert c("drain", 0).code == delivered
    assert c("stats", 0).numbers[2:] == [delivered, delivered]


def filtered(c: CClient, place: Place, frames: list[bytes]) -> tuple[int, int]:
    """How many of some frames pass the filters of group 0, and how many do not."""
    before = c("get_group_stats", 0, 0).numbers
    with place.pair.sender() as sender:
        sender.send(frames)
    assert eventually(lambda: c("get_group_stats", 0, 0).numbers[0] == before[0] + len(frames), 5.0)
    after = c("get_group_stats", 0, 0).numbers
    return after[3] - before[3], after[1] - before[1]


def test_s81_berkeley_filters_of_a_group(c: CClient, place: Place) -> None:
    c.open(SHARED)
    c.must("bind", 0, place.pair.dev_b, ANY)
    c.must("enable", 0)
    c.open("nogroup", handle=1)
    c.must("join_group", 1, 0, DEFAULT, SHARED)
    c.must("enable", 1)
    frames = [numbered(n, size) for n, size in enumerate((60, 60, 60, 200))]
    c.must("group_filter", 0, 0, "greater 100")
    assert filtered(c, place, frames) == (1, 3)
    assert (c("drain", 0).text, c("drain", 1).text) == ("3", "3"), "for every member"
    c.must("group_fprog", 0, 0, "0x20 0 0 14 0x15 0 1 2 6 0 0 65535 6 0 0 0")  # the number is 2
    assert filtered(c, place, frames) == (1, 3)
    assert c("drain", 1).text == "2"
    for wrong in ("tcp prot 80", ""):
        assert c("group_filter", 0, 0, wrong).code in (-errno.EINVAL, 0)
    assert c("group_filter", 0, 0, "NULL").code == -errno.EINVAL
    assert c("group_fprog", 0, 0, "").code == -errno.EINVAL
    assert c("group_fprog", 0, 0, "0x15 200 200 0 6 0 0 1").code == -errno.EINVAL
    c.must("group_fprog_reset", 0, 0)
    assert filtered(c, place, frames) == (4, 0)


def test_s82_vlan_filters(c: CClient, place: Place) -> None:
    c.open(SHARED)
    c.must("bind", 0, place.pair.dev_b, ANY)
    assert c("vlan_set_filter", 0, 0, 5).code == -errno.EINVAL
    assert c("vlan_reset_filter", 0, 0, 5).code == -errno.EINVAL
    c.must("enable", 0)
    plain = numbered(0)
    frames = [plain, *(plain[:12] + b"\x81\x00" + vid.to_bytes(2, "big") + plain[12:] for vid in (5, 7))]
    c.must("vlan_filters_enable", 0, 0, 1)
    assert filtered(c, place, frames) == (0, 3)
    c.must("vlan_set_filter", 0, 0, 7)
    assert filtered(c, place, frames) == (1, 2)
    c.must("vlan_set_filter", 0, 0, 0)
    assert filtered(c, place, frames) == (2, 1)
    c.must("vlan_reset_filter", 0, 0, 0)
    c.must("vlan_set_filter", 0, 0, -1)
    assert filtered(c, place, frames) == (2, 1)
    assert c("vlan_set_filter", 0, 0, 4095).code == -errno.EINVAL
    c.must("vlan_filters_enable", 0, 0, 0)
    assert filtered(c, place, frames) == (3, 0)
