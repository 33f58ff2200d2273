"""The steering table: shares, what moves when members change, and its form in memory."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.handmade import FRAMES, action

from pfq.codegen import layouts
from pfq.engine.steering import MAX_WEIGHT, Member, SteeringTable, mix
from pfq.lang.action import ANY_CLASSES, CONTROL_CLASS, DEFAULT_CLASSES, Action, Fanout

TCP = FRAMES["tcp4"]


def table(*endpoints: int, classes: int = DEFAULT_CLASSES, **weights: int) -> SteeringTable:
    members = [Member(number, weights.get(f"w{number}", 1)) for number in endpoints]
    return SteeringTable.of(members, classes)


def shares(found: SteeringTable) -> dict[int, int]:
    return {endpoint: found.hashed.count(endpoint) for endpoint in sorted(set(found.hashed))}


def test_mix_has_the_values_of_the_original() -> None:
    assert mix(0) == 0x2BA588A6
    assert mix(1) == 0x2BA58337
    # The original's places among 4 and among 8 end-points, for the hashes 0 to 15.
    assert [mix(h) & 3 for h in range(16)] == [2, 3, 0, 1, 1, 0, 3, 2, 0, 0, 2, 3, 3, 1, 1, 0]
    assert [mix(h) & 7 for h in range(16)] == [6, 7, 0, 1, 5, 4, 7, 6, 0, 0, 6, 7, 7, 1, 5, 4]


@given(st.integers(0, 0xFFFFFFFF))
def test_mix_stays_within_32_bits(hashed: int) -> None:
    assert 0 <= mix(hashed) <= 0xFFFFFFFF


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 64])
def test_equal_weights_have_about_equal_shares(count: int) -> None:
    found = shares(table(*range(count)))
    assert sum(found.values()) == 512
    assert set(found) == set(range(count))
    spread = np.sqrt(512 / count)
    assert all(abs(share - 512 / count) < 4 * spread for share in found.values())


def test_the_table_does_not_change_from_run_to_run() -> None:
    assert shares(table(0, 1, 2, 3)) == {0: 142, 1: 130, 2: 122, 3: 118}


def test_s56_shares_follow_the_weights() -> None:
    found = shares(table(0, 1, 2, w1=2, w2=MAX_WEIGHT))
    whole = 1 + 2 + 8
    for endpoint, weight in ((0, 1), (1, 2), (2, 8)):
        assert abs(found[endpoint] - 512 * weight / whole) < 40


@pytest.mark.parametrize("gone", range(5))
def test_only_the_entries_of_a_member_that_leaves_move(gone: int) -> None:
    before = table(0, 1, 2, 3, 4, w2=3)
    after = table(*({0, 1, 2, 3, 4} - {gone}), w2=3)
    for old, new in zip(before.hashed, after.hashed, strict=True):
        assert new == old or old == gone
        assert new != gone


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_member_that_joins_takes_its_share_and_nothing_else_moves(count: int) -> None:
    before, after = table(*range(count)), table(*range(count + 1))
    moved = [(old, new) for old, new in zip(before.hashed, after.hashed, strict=True) if old != new]
    assert {new for _, new in moved} == {count}
    assert abs(len(moved) - 512 / (count + 1)) < 4 * np.sqrt(512 / (count + 1))


@given(st.permutations(range(6)))
def test_the_order_of_the_members_does_not_matter(order: list[int]) -> None:
    assert table(*order, w3=2) == table(*range(6), w3=2)


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ({}, [0, 1, 2]),
        ({"w0": 2}, [0, 1, 2, 0]),
        ({"w0": 2, "w1": 2, "w2": 2}, [0, 1, 2, 0, 1, 2]),
        ({"w1": 3}, [1, 0, 1, 2, 1]),
    ],
)
def test_turns_are_spread_over_the_round(weights: dict[str, int], order: list[int]) -> None:
    assert list(table(0, 1, 2, **weights).order) == order


@given(st.lists(st.integers(1, MAX_WEIGHT), min_size=1, max_size=64))
def test_s51_turns_are_even_at_every_moment(weights: list[int]) -> None:
    found = table(*range(len(weights)), **{f"w{number}": weight for number, weight in enumerate(weights)})
    order = found.order
    assert [order.count(number) for number in range(len(weights))] == weights
    for upto in range(1, len(order) + 1):
        for number, weight in enumerate(weights):
            due = upto * weight / len(order)
            assert abs(order[:upto].count(number) - due) < len(weights)


def test_s51_with_equal_weights_counts_differ_by_at_most_one() -> None:
    found = table(3, 5, 9)
    got = [0] * 64
    for turn in range(100):
        (endpoint,) = found.select(Action(Fanout.ROBIN), turn)
        got[endpoint] += 1
        counts = [got[number] for number in (3, 5, 9)]
        assert max(counts) - min(counts) <= 1


def test_pack_is_what_the_kernel_reads() -> None:
    found = table(1, 5, 63, w5=2)
    data = found.pack()
    assert len(data) == layouts.STEERING_BYTES
    mask, count, turns = struct.unpack_from("<QII", data, layouts.MEMBERS)
    assert (mask, count, turns) == (1 << 1 | 1 << 5 | 1 << 63, 3, 4)
    assert layouts.MEMBER_COUNT == layouts.MEMBERS + 8
    assert layouts.TURNS == layouts.MEMBER_COUNT + 4
    assert data[layouts.HASHED : layouts.HASHED + 512] == found.hashed
    assert data[layouts.IDS : layouts.IDS + 64] == bytes([1, 5, 63]).ljust(64, b"\0")
    assert data[layouts.ORDER :] == bytes([5, 1, 63, 5]).ljust(512, b"\0")


def test_pack_of_nobody() -> None:
    data = table().pack()
    assert data[: layouts.HASHED] == bytes(16)
    assert data[layouts.HASHED : layouts.IDS] == b"\xff" * 512
    assert data[layouts.IDS :] == bytes(layouts.STEERING_BYTES - layouts.IDS)


def test_select() -> None:
    found = table(2, 4, 6)
    assert found.select(Action(Fanout.DROP)) == frozenset()
    assert found.select(Action(Fanout.COPY)) == {2, 4, 6}
    assert found.select(Action(Fanout.STEER, hash=7)) == {found.hashed[mix(7) % 512]}
    both = {found.hashed[mix(h) % 512] for h in (7, 8)}
    assert found.select(Action(Fanout.DOUBLE, hash=7, hash2=8)) == both
    assert found.select(Action(Fanout.DOUBLE, hash=7, hash2=7)) == {found.hashed[mix(7) % 512]}
    assert [set(found.select(Action(Fanout.ROBIN), turn)) for turn in range(4)] == [{2}, {4}, {6}, {2}]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 100])
def test_s52_steer_to_counts_through_the_members(number: int) -> None:
    found = table(2, 4, 6)
    assert found.select(action(f"steer_to {number}", TCP)) == {(2, 4, 6)[number % 3]}


@pytest.mark.parametrize("kind", Fanout)
def test_s57_without_members_nobody_gets_it(kind: Fanout) -> None:
    assert table().select(Action(kind, hash=1, hash2=2), 5) == frozenset()


def test_s57_one_member_gets_everything_that_is_steered() -> None:
    assert shares(table(7)) == {7: 512}


MEMBERS = [
    Member(0),
    Member(1),
    Member(2, classes=1 << 2),
    Member(3, classes=1 << 2 | 1),
    Member(4, classes=1 << CONTROL_CLASS),
]


def receivers(text: str) -> frozenset[int]:
    found = action(text, TCP)
    return SteeringTable.of(MEMBERS, found.classes).select(found)


def test_s05_unit_is_a_copy_to_class_0() -> None:
    assert receivers("unit") == {0, 1, 3}


def test_s06_broadcast_reaches_every_class_but_control() -> None:
    assert receivers("steer_flow >-> broadcast") == {0, 1, 2, 3}
    assert SteeringTable.of(MEMBERS, ANY_CLASSES).mask == 0b1111


def test_s08_classify_reaches_its_class_only() -> None:
    assert receivers("classify 2") == {2, 3}
    assert receivers("classify 63") == {4}
    assert receivers("classify 0") == {0, 1, 3}
    assert receivers("classify 5") == frozenset()


def test_s08_classify_limits_steering() -> None:
    for number in range(4):
        assert receivers(f"classify 2 >-> steer_to {number}") == {(2, 3)[number % 2]}


def test_s09_broadcast_then_steering_is_among_all_classes() -> None:
    assert [set(receivers(f"broadcast >-> steer_to {number}")) for number in range(4)] == [{0}, {1}, {2}, {3}]
