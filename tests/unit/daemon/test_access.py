"""Rules: who may do what."""

from __future__ import annotations

import os

import pytest

from pfq.daemon.access import RIGHTS, Access, Rule
from pfq.daemon.peer import Peer

ALICE, BOB, TEAM = 1001, 1002, 500


def peer(uid: int, *gids: int) -> Peer:
    return Peer(1, uid, frozenset(gids), -1, 0)


def rule(*allow: str, **options: object) -> Rule:
    return Rule(**{"groups": None, "devices": None, "allow": frozenset(allow)} | options)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", RIGHTS)
@pytest.mark.parametrize("wanted", RIGHTS)
def test_each_right_has_those_before_it(given: str, wanted: str) -> None:
    access = Access([rule(given, user=ALICE)])
    assert access.group(peer(ALICE), wanted, 7) == (RIGHTS.index(given) >= RIGHTS.index(wanted))
    assert not access.group(peer(BOB), wanted, 7)
    assert access.is_admin(peer(ALICE)) == (given == "admin")


def test_users_groups_and_everybody() -> None:
    for each in (rule("see", user=ALICE), rule("see", group=TEAM), rule("see", everybody=True)):
        access = Access([each])
        assert access.has_any(peer(ALICE, TEAM))
        assert access.has_any(peer(BOB)) == each.everybody
        assert access.has_any(peer(BOB, 3, TEAM)) == (each.user is None)
    # A user's number is no group's.
    assert not Access([rule("see", user=ALICE)]).has_any(peer(BOB, ALICE))
    assert not Access([rule("see", group=TEAM)]).has_any(peer(TEAM))


def test_groups_and_devices_belong_together() -> None:
    """A device that is allowed for one group is not for another."""
    access = Access(
        [
            rule("configure", user=ALICE, groups=frozenset([1]), devices=frozenset(["eth0"])),
            rule("configure", user=ALICE, groups=frozenset([2]), devices=frozenset(["eth1"])),
            rule("join", user=ALICE, groups=frozenset([3]), devices=frozenset(["eth2"])),
        ]
    )
    alice = peer(ALICE)
    devices = {
        group: [name for name in ("eth0", "eth1", "eth2") if access.device(alice, name, group)] for group in range(4)
    }
    assert devices == {0: [], 1: ["eth0"], 2: ["eth1"], 3: []}
    assert [access.device(alice, name) for name in ("eth0", "eth1", "eth2")] == [True, True, False]
    assert [access.group(alice, "join", group) for group in range(5)] == [False, True, True, True, False]


def test_without_rules_only_the_superuser_and_the_daemons_own_user() -> None:
    access = Access()
    for uid in (0, os.geteuid()):
        assert access.is_admin(peer(uid))
        assert access.group(peer(uid), "admin", 63)
        assert access.device(peer(uid), "eth0", 63)
    assert not access.has_any(peer(os.geteuid() + 1))


def test_a_rule_that_names_nothing_allows_nothing() -> None:
    access = Access([Rule(everybody=True, allow=frozenset(["configure"]))])
    assert not any(access.group(peer(ALICE), "see", group) for group in range(64))
    assert not access.device(peer(ALICE), "eth0")
