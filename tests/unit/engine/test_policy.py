"""Statements 70, 73 and 74: who joins a group, changes it, reads its counters."""

from __future__ import annotations

import contextlib

import pytest

from pfq.engine.policy import Identity, Owner, Policy, Rights, policy_named
from pfq.errors import NotPermittedError, UsageError

HERE, THERE = Owner(100, 0), Owner(200, 0)
FIRST, THREAD, FORKED = Identity(0, HERE), Identity(1, HERE), Identity(2, THERE)
PRIVATE, RESTRICTED, SHARED, UNDEFINED = (policy_named(n) for n in ("private", "restricted", "shared", "undefined"))


def lets_in(rights: Rights, who: Identity, asked: Policy) -> bool:
    before = rights.policy, rights.owner
    try:
        rights.join(who, asked)
    except NotPermittedError:
        assert (rights.policy, rights.owner) == before
        return False
    return True


@pytest.mark.parametrize("policy", [PRIVATE, RESTRICTED, SHARED])
def test_s70_who_joins(policy: Policy) -> None:
    allowed = {
        (PRIVATE, PRIVATE): {FIRST},
        (RESTRICTED, RESTRICTED): {FIRST, THREAD},
        (SHARED, SHARED): {FIRST, THREAD, FORKED},
    }
    for who in (FIRST, THREAD, FORKED):
        for asked in Policy:
            rights = Rights(3, policy, FIRST)
            assert lets_in(rights, who, asked) == (who in allowed.get((policy, asked), ()))
            assert (rights.policy, rights.owner) == (policy, FIRST)


@pytest.mark.parametrize("asked", [PRIVATE, RESTRICTED, SHARED])
def test_s70_the_first_to_join_settles_the_policy(asked: Policy) -> None:
    rights = Rights(3, UNDEFINED)
    assert not lets_in(rights, FORKED, UNDEFINED)
    assert lets_in(rights, THREAD, asked)
    assert (rights.policy, rights.owner) == (asked, THREAD)


def test_s70_a_group_made_with_a_policy_belongs_to_its_first_member() -> None:
    rights = Rights(3, PRIVATE)
    assert not lets_in(rights, FIRST, SHARED)
    assert lets_in(rights, FIRST, PRIVATE)
    assert not lets_in(rights, THREAD, PRIVATE)


def readers(policy: Policy) -> set[Identity | None]:
    found: set[Identity | None] = set()
    for who in (None, FIRST, THREAD, FORKED):
        with contextlib.suppress(NotPermittedError):
            Rights(3, policy, FIRST).read(who)
            found.add(who)
    return found


def test_s74_who_reads_counters() -> None:
    assert readers(PRIVATE) == {None, FIRST}
    assert readers(RESTRICTED) == {None, FIRST, THREAD}
    assert readers(SHARED) == readers(UNDEFINED) == {None, FIRST, THREAD, FORKED}


def test_s72_only_members_change_a_group() -> None:
    rights = Rights(3, SHARED, FIRST)
    rights.control(THREAD, {0, 1})
    rights.control(None, set())
    with pytest.raises(NotPermittedError, match="only its members"):
        rights.control(FORKED, {0, 1})


def test_there_are_no_other_policies() -> None:
    with pytest.raises(UsageError, match="no policy `public`"):
        policy_named("public")
