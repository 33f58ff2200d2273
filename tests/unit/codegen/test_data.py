"""The plan of what programs keep: nothing overlaps, equal asks share, limits hold."""

from __future__ import annotations

import pytest

from pfq.codegen.data import LINE, MAX_DATA, MAX_SITES, DataPlan, power_of_two
from pfq.codegen.layouts import MAX_DEVICES
from pfq.codegen.prefixes import SetRegion
from pfq.errors import TooBigError
from pfq.lang.action import Event, EventKind
from pfq.lang.prefixset import PrefixSet

TEN = PrefixSet.parse("10.0.0.0/8")


@pytest.mark.parametrize(("size", "rounded"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (1 << 29, 1 << 29)])
def test_powers_of_two(size: int, rounded: int) -> None:
    assert power_of_two(size) == rounded


def test_regions_lie_one_behind_the_other_on_lines_of_their_own() -> None:
    """So that what CPUs write does not share a cache line with what they read."""
    plan = DataPlan()
    assert [plan.region(size) for size in (8, 64, 256, 1, 128)] == [0, 64, 128, 384, 448]
    assert plan.size == 576


def test_equal_keys_share_memory() -> None:
    plan = DataPlan()
    assert plan.keyed(("flows", 1, 8), 1024) == plan.keyed(("flows", 1, 8), 1024) == 0
    assert plan.keyed(("flows", 1, 9), 1024) == 1024
    assert plan.region(8) == 2048


def test_equal_constants_share_memory() -> None:
    plan = DataPlan()
    first = plan.constant(b"abc")
    assert plan.constant(bytes(100)) == 64
    assert plan.constant(b"abc") == first == 0
    assert plan.constant(b"abc\0") == 192
    assert plan.content() == b"abc".ljust(192, b"\0") + b"abc".ljust(64, b"\0")


def test_a_constant_is_no_key_of_somebody_else() -> None:
    plan = DataPlan()
    assert plan.keyed(b"abc", 64) != plan.constant(b"abc")


def test_the_memory_of_a_program_without_any_is_not_empty() -> None:
    """Native code gets a pointer to it all the same."""
    assert DataPlan().content() == bytes(LINE)
    assert DataPlan().size == 0


def test_a_set_has_room_to_grow_and_starts_in_half_0() -> None:
    plan = DataPlan()
    plan.region(8)
    region = plan.prefixes(TEN)
    assert plan.prefixes(PrefixSet.parse("10.0.0.0/8")) is region
    assert region.offset == 64
    assert plan.size == 64 + region.size
    assert plan.content()[64 : 64 + len(region.packed(TEN))] == region.packed(TEN)
    assert plan.sets == {TEN: region}


def test_the_same_prefixes_under_another_name_are_another_set() -> None:
    """The user may replace one of them."""
    plan = DataPlan()
    assert plan.prefixes(TEN) != plan.prefixes(PrefixSet.parse("10.0.0.0/8 "))
    assert len(plan.sets) == 2


def test_own_addresses_are_one_set_empty_at_first() -> None:
    plan = DataPlan()
    assert plan.hosts is None
    region = plan.own_addresses()
    assert plan.own_addresses() is region is plan.hosts
    assert plan.sets == {}
    assert plan.content() == bytes(region.size)


def test_devices_have_numbers_in_the_order_of_their_first_use() -> None:
    plan = DataPlan()
    assert [plan.device(name) for name in ("eth1", "eth0", "eth1", "eth2")] == [0, 1, 0, 2]
    assert plan.devices == ["eth1", "eth0", "eth2"]


def test_messages_have_numbers_by_kind_and_text() -> None:
    plan = DataPlan()
    told = [
        Event(EventKind.TRACE),
        Event(EventKind.MESSAGE, "a"),
        Event(EventKind.MESSAGE, "b"),
        Event(EventKind.TRACE),
    ]
    assert [plan.site(event) for event in told] == [0, 1, 2, 0]


def test_too_many_devices() -> None:
    plan = DataPlan(devices=[f"d{number}" for number in range(MAX_DEVICES)])
    assert plan.device("d63") == 63
    with pytest.raises(TooBigError, match="the program has more than 64 devices to forward to"):
        plan.device("d64")


def test_too_many_messages() -> None:
    plan = DataPlan(sites=[Event(EventKind.MESSAGE, f"{number}") for number in range(MAX_SITES)])
    assert plan.site(Event(EventKind.MESSAGE, "254")) == 254
    with pytest.raises(TooBigError, match="the program has more than 255 different messages"):
        plan.site(Event(EventKind.TRACE))


def test_too_much_memory() -> None:
    plan = DataPlan()
    plan.region(MAX_DATA - 64)
    plan.region(1)
    with pytest.raises(TooBigError, match="the tables of the program need more than 512 MiB") as caught:
        plan.region(1)
    assert caught.value.hint == "make tables or sets smaller"


def test_the_largest_offset_is_one_that_the_verifier_accepts() -> None:
    """BPF_MAX_VAR_OFF is 2**29."""
    assert MAX_DATA == 1 << 29
    assert MAX_DEVICES == 64


def test_regions_of_sets_are_whole_lines() -> None:
    region = SetRegion.with_room_for(TEN)
    assert region.size % LINE == region.half_bytes % LINE == 0
