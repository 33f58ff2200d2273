"""The steering table: shares, what moves when members change, and its form in memory."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.handmade import FRAMES, action

from pfq.codegen import layouts
from pfq.engine.steering import MAX_WEIGHT, Member, SteeringTable, mix
from pfq.errors import UsageError
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 63, 64])
def test_equal_weights_have_equal_shares(count: int) -> None:
    found = shares(table(*range(count)))
    assert sum(found.values()) == 512
    assert list(found) == list(range(count))
    assert set(found.values()) <= {512 // count, -(-512 // count)}


def test_the_table_does_not_change_from_run_to_run() -> None:
    found = table(0, 1, 2, w1=2)
    assert shares(found) == {0: 128, 1: 256, 2: 128}
    assert list(found.hashed[:16]) == [2, 1, 1, 2, 2, 0, 0, 2, 1, 0, 1, 0, 1, 2, 2, 1]


@given(st.lists(st.integers(1, MAX_WEIGHT), min_size=1, max_size=64), st.integers(0, 2**32))
def test_s56_shares_follow_the_weights(weights: list[int], seed: int) -> None:
    """Of 100,000 random flows every member gets its share, within 2 % of all of them."""
    found = table(*range(len(weights)), **{f"w{number}": weight for number, weight in enumerate(weights)})
    flows = np.random.default_rng(seed).integers(0, 2**32, 100_000, np.uint64)
    got = np.bincount(np.frombuffer(found.hashed, np.uint8)[mixed(flows) % 512], minlength=len(weights))
    assert abs(got / got.sum() - np.array(weights) / sum(weights)).max() < 0.02


def mixed(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """`mix` of many."""
    word = np.uint64(0xFFFFFFFF)
    a = (hashes ^ np.uint64(0xDEADBEEF)) + (hashes << np.uint64(4) & word) & word
    a ^= a >> np.uint64(10)
    a = a + (a << np.uint64(7)) & word
    return a ^ a >> np.uint64(13)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_mixed_is_mix(hashes: list[int]) -> None:
    assert mixed(np.array(hashes, np.uint64)).tolist() == [mix(hashed) for hashed in hashes]


@pytest.mark.parametrize("byte", range(4))
@pytest.mark.parametrize("count", [2, 4, 8])
def test_hosts_of_a_small_network_are_spread(count: int, byte: int) -> None:
    """Their hashes differ in one byte, and `mix` of those leaves some of the lowest bits as they are."""
    found = table(*range(count))
    got = [found.hashed[mix(number << 8 * byte) % 512] for number in range(256)]
    assert all(abs(got.count(endpoint) - 256 / count) < 4 * np.sqrt(256 / count) for endpoint in range(count))


@pytest.mark.parametrize("gone", range(5))
def test_only_the_entries_of_a_member_that_leaves_move(gone: int) -> None:
    before = table(0, 1, 2, 3, 4, w2=3)
    after = before.with_members([member for member in before.members if member.endpoint != gone])
    for old, new in zip(before.hashed, after.hashed, strict=True):
        assert new == old or old == gone
        assert new != gone
    assert after.with_members(before.members) == before, "it is back"


@pytest.mark.parametrize("count", [1, 3, 7, 63])
def test_a_member_that_joins_takes_its_share_and_nothing_else_moves(count: int) -> None:
    before = table(*range(count))
    after = before.with_members([*before.members, Member(count)])
    moved = [(old, new) for old, new in zip(before.hashed, after.hashed, strict=True) if old != new]
    assert {new for _, new in moved} == {count}
    assert len(moved) == 512 // (count + 1)
    lost = [[old for old, _ in moved].count(member) for member in range(count)]
    assert max(lost) - min(lost) <= 1


def test_a_member_of_another_class_leaves_and_joins_by_changing_it() -> None:
    first, second = Member(0), Member(1)
    before = SteeringTable.of([first, second], DEFAULT_CLASSES)
    alone = before.with_members([first, replace(second, classes=2)])
    assert shares(alone) == {0: 512}
    assert alone.with_members([first, second]) == before


CHANGES = [[0, 1, 2, 3], [0, 2, 3], [0, 3], [0, 3, 5], [0, 1, 3, 5], [0, 1, 2, 3, 5], [], [2, 1]]


def test_s60_a_table_is_taken_over_from_its_bytes_and_its_memory() -> None:
    kept = taken = table()
    for endpoints in CHANGES:
        members = [Member(endpoint, 1 + endpoint) for endpoint in endpoints]
        kept = kept.with_members(members)
        taken = SteeringTable.unpack(taken.pack(), DEFAULT_CLASSES, taken.memory).with_members(members)
        assert taken == kept
        again = SteeringTable.unpack(taken.pack(), DEFAULT_CLASSES, taken.memory)
        assert again == kept


def test_without_its_memory_a_table_has_only_forgotten_who_left() -> None:
    before = table(0, 1, 2)
    away = before.with_members(before.members[1:])
    found = SteeringTable.unpack(away.pack(), DEFAULT_CLASSES)
    assert found.hashed == away.hashed
    assert found.with_members(away.members) == found
    assert shares(found.with_members(before.members)) == shares(before)


def test_a_table_that_was_half_written_is_put_right() -> None:
    old = table(0, 1, 2).pack()
    new = table(1, 2, 3, w3=4).pack()
    wanted = [Member(1), Member(2), Member(3, 4)]
    for cut in range(0, len(new), 50):
        found = SteeringTable.unpack(new[:cut] + old[cut:], DEFAULT_CLASSES).with_members(wanted)
        assert sum(shares(found).values()) == 512
        assert all(abs(shares(found)[each.endpoint] - 512 * each.weight / 6) < 1 for each in wanted)


@given(st.binary(min_size=layouts.STEERING_BYTES, max_size=layouts.STEERING_BYTES))
def test_a_table_of_rubbish_is_put_right(packed: bytes) -> None:
    members = [Member(4), Member(6)]
    assert shares(SteeringTable.unpack(packed, DEFAULT_CLASSES).with_members(members)) == {4: 256, 6: 256}


def test_bytes_that_are_no_table_are_refused() -> None:
    with pytest.raises(UsageError, match="has 1104 bytes, not 3"):
        SteeringTable.unpack(b"abc", DEFAULT_CLASSES)


@pytest.mark.parametrize("memory", [b"\0" * 511, b"\0" * 513, b"\0" * 511 + b"\1", b"\0" * 511 + b"\2a"])
def test_a_damaged_memory_is_refused(memory: bytes) -> None:
    with pytest.raises(UsageError, match="memory of a steering table"):
        SteeringTable.unpack(table(1).pack(), DEFAULT_CLASSES, memory)


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
