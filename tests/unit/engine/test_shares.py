"""Dealing entries over whole histories: shares, what moves, and what members get that come back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfq.engine.shares import SCATTERED, Entries, in_turn, quotas, spread

Weights = dict[int, int]

ENDPOINTS = st.integers(0, 63)
WEIGHTS = st.integers(1, 8)
MEMBERS = st.dictionaries(ENDPOINTS, WEIGHTS, min_size=1, max_size=64)
CHANGE = st.tuples(st.sampled_from(["join", "leave", "weight"]), ENDPOINTS, WEIGHTS)
HISTORY = st.lists(CHANGE, max_size=40)


def changed(weights: Weights, change: tuple[str, int, int]) -> Weights:
    """The members after a change; one that cannot be made changes nothing."""
    kind, endpoint, weight = change
    if kind == "leave":
        # Of those there are, so that it happens often.
        known = sorted(weights)
        return {each: of for each, of in weights.items() if each != known[endpoint % len(known)]} if known else {}
    if kind == "weight" and weights:
        endpoint = sorted(weights)[endpoint % len(weights)]
    return {**weights, endpoint: weight}


def followed(start: Weights, history: list[tuple[str, int, int]]) -> Iterator[tuple[Weights, Entries]]:
    """The members and their entries at the start and after each change."""
    weights, entries = start, Entries().dealt({}, start)
    yield weights, entries
    for change in history:
        after = changed(weights, change)
        weights, entries = after, entries.dealt(weights, after)
        yield weights, entries


def low_and_high(weights: Weights) -> dict[int, tuple[int, int]]:
    whole = sum(weights.values())
    return {each: (512 * weight // whole, -(-512 * weight // whole)) for each, weight in weights.items()}


def moves(before: Entries, after: Entries) -> list[tuple[int, int]]:
    return [(old, new) for old, new in zip(before.owners, after.owners, strict=True) if old != new]


@given(MEMBERS)
def test_quotas_are_by_largest_remainder(weights: Weights) -> None:
    found = quotas(weights)
    whole = sum(weights.values())
    extra = {each: found[each] - 512 * weight // whole for each, weight in weights.items()}
    remainders = {each: (512 * weight % whole, -each) for each, weight in weights.items()}
    assert sum(found.values()) == 512
    assert set(extra.values()) <= {0, 1}
    up, down = ([remainders[each] for each in weights if extra[each] == which] for which in (1, 0))
    assert not up or not down or min(up) > max(down)


@given(MEMBERS)
def test_fresh_entries_are_quotas(weights: Weights) -> None:
    assert Counter(Entries().dealt({}, weights).owners) == quotas(weights)


@given(MEMBERS, HISTORY)
def test_s56_after_any_history_shares_are_exact_within_one(start: Weights, history: list[tuple[str, int, int]]) -> None:
    for weights, entries in followed(start, history):
        found = Counter(entries.owners)
        if not weights:
            assert found == {0xFF: 512}
            continue
        assert found.keys() == weights.keys()
        for each, (low, high) in low_and_high(weights).items():
            assert low <= found[each] <= high


@given(MEMBERS, HISTORY)
def test_s60_nothing_moves_between_members_that_stay(start: Weights, history: list[tuple[str, int, int]]) -> None:
    """But what must, so that shares stay exact within one: `forced` counts that without dealing."""
    only_what_must(start, history)


@pytest.mark.parametrize("seed", [136, 171, 199])
def test_s60_nothing_moves_between_many_members_that_stay(seed: int) -> None:
    """Long histories of tens of members in which rounding by remainders alone would move more than must."""
    chance = random.Random(seed)
    start = {
        each: chance.choice([1, 8, chance.randint(1, 8)]) for each in chance.sample(range(64), chance.randint(1, 64))
    }
    kinds = ["join", "leave", "leave", "weight"] if len(start) > 32 else ["join", "leave", "weight"]
    only_what_must(start, [(chance.choice(kinds), chance.randrange(64), chance.randint(1, 8)) for _ in range(40)])


def only_what_must(start: Weights, history: list[tuple[str, int, int]]) -> None:
    for (before, old), (after, new) in pairwise(followed(start, history)):
        steady = {each for each in before if after.get(each) == before[each]}
        between = [move for move in moves(old, new) if steady.issuperset(move)]
        assert len(between) <= forced(Counter(old.owners), before, after)
        if len(set(before.values()) | set(after.values())) == 1:
            assert not between, "never, when weights are equal"


def forced(held: Mapping[int, int], before: Weights, after: Weights) -> int:
    """How many entries members that stay must give or get although they stay, whichever is less than could be.

    When somebody joins or gets a larger weight, those who stay together keep at least what the others
    leave of 512 at most; when somebody leaves, the other way round.
    """
    if not after:
        return 0
    limits = low_and_high(after)
    steady = [each for each in before if after.get(each) == before[each]]
    others = [limits[each] for each in after if each not in steady]
    kept = [(held[each], *limits[each]) for each in steady]
    get = max(
        sum(max(low - has, 0) for has, low, _ in kept),
        512 - sum(high for _, high in others) - sum(min(has, high) for has, _, high in kept),
    )
    give = max(
        sum(max(has - high, 0) for has, _, high in kept),
        sum(max(has, low) for has, low, _ in kept) - 512 + sum(low for low, _ in others),
    )
    return min(get, give)


@given(MEMBERS, HISTORY, HISTORY)
def test_s60_who_comes_back_gets_its_entries_again(
    start: Weights, history: list[tuple[str, int, int]], other: list[tuple[str, int, int]]
) -> None:
    """Several, too, when the last to leave is the first to be back; nothing else has moved then."""
    *_, (weights, entries) = followed(start, history)
    leaving = [endpoint for _, endpoint, _ in other if endpoint in weights]
    states = [(weights, entries)]
    for endpoint in dict.fromkeys(leaving):
        before, there = states[-1]
        after = {each: weight for each, weight in before.items() if each != endpoint}
        states.append((after, there.dealt(before, after)))
    while len(states) > 1:
        away, there = states.pop()
        back, wanted = states[-1]
        assert there.dealt(away, back) == wanted


@pytest.mark.parametrize("count", [3, 4, 5, 8, 64])
def test_s60_two_get_their_entries_again_in_any_order(count: int) -> None:
    weights = dict.fromkeys(range(count), 1)
    first = Entries().dealt({}, weights)
    for a, b in permutations(range(min(count, 8)), 2):
        without_a = {each: 1 for each in weights if each != a}
        without_b = {each: 1 for each in weights if each != b}
        neither = {each: 1 for each in weights if each not in (a, b)}
        left = first.dealt(weights, without_a).dealt(without_a, neither)
        assert left.dealt(neither, without_b).dealt(without_b, weights).owners == first.owners


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_s60_four_of_eight_get_nearly_all_their_entries_again(leaving: list[int], back: list[int]) -> None:
    weights = dict.fromkeys(range(8), 1)
    first = entries = Entries().dealt({}, weights)
    steps = [set(leaving[: number + 1]) for number in range(4)]
    order = [each for each in back if each in steps[-1]]
    steps += [set(order[number + 1 :]) for number in range(4)]
    before = weights
    for gone in steps:
        after = {each: 1 for each in weights if each not in gone}
        before, entries = after, entries.dealt(before, after)
    assert len(moves(first, entries)) < 512 * 0.08


def test_s60_two_get_their_entries_again_although_two_others_came() -> None:
    """A new member takes some of every kind, so that it does not stand in the way of one that comes back."""
    steps = [range(8), range(1, 8), range(2, 8), range(2, 10), range(1, 10), range(10)]
    weights = [dict.fromkeys(step, 1) for step in steps]
    tables = [Entries().dealt({}, weights[0])]
    for before, after in pairwise(weights):
        tables.append(tables[-1].dealt(before, after))
    first, last = tables[0].owners, tables[-1].owners
    back = [at for at, owner in enumerate(last) if owner in (0, 1)]
    assert len(back) == 2 * 52
    assert sum(first[at] != last[at] for at in back) <= 2


def test_s60_a_new_member_takes_from_all_in_proportion() -> None:
    before, after = {1: 1, 2: 2, 3: 5}, {1: 1, 2: 2, 3: 5, 4: 8}
    first = Entries().dealt({}, before)
    moved = moves(first, first.dealt(before, after))
    assert Counter(moved) == {(1, 4): 32, (2, 4): 64, (3, 4): 160}


def test_s60_a_larger_weight_takes_from_all_in_proportion() -> None:
    before, after = {1: 1, 2: 2, 3: 5}, {1: 1, 2: 2, 3: 1}
    first = Entries().dealt({}, before)
    smaller = first.dealt(before, after)
    assert Counter(moves(first, smaller)) == {(3, 1): 64, (3, 2): 128}
    assert Counter(moves(smaller, smaller.dealt(after, before))) == {(1, 3): 64, (2, 3): 128}


@given(MEMBERS, HISTORY)
def test_nothing_changes_without_a_change(start: Weights, history: list[tuple[str, int, int]]) -> None:
    for weights, entries in followed(start, history):
        assert entries.dealt(weights, weights) == entries


@given(MEMBERS, HISTORY)
def test_nobody_who_is_there_is_remembered_as_gone(start: Weights, history: list[tuple[str, int, int]]) -> None:
    for weights, entries in followed(start, history):
        for left in entries.left:
            assert len(set(left)) == len(left)
            assert not weights.keys() & set(left)


def test_entries_are_scattered() -> None:
    assert sorted(SCATTERED) == list(range(512))
    assert sum(a % 2 == b % 2 for a, b in pairwise(SCATTERED)) < 300


def test_in_turn() -> None:
    assert in_turn({3: 1, 5: 2}) == [5, 3, 5]
    assert in_turn({}) == []


@pytest.mark.parametrize(("count", "wanted"), [(0, ""), (1, "d"), (2, "be"), (3, "bdf"), (6, "abcdef")])
def test_spread(count: int, wanted: str) -> None:
    assert "".join(spread("abcdef", count)) == wanted
