"""Who may do what with which groups and devices.

| right       | allows                                                                                             |
| ----------- | -------------------------------------------------------------------------------------------------- |
| `see`       | list the groups, read their statistics and counters                                                |
| `join`      | `see`, and join them                                                                               |
| `configure` | `join`, and make them; programs, filters, bindings of groups one is a member of; use the devices   |
| `admin`     | everything, groups of the configuration included; reload and stop the daemon                       |

The superuser and the daemon's own user have all of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pfq.daemon.peer import Peer

RIGHTS: Final = ("see", "join", "configure", "admin")
"""Each has those before it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Gives rights to a user, to a group of users, or to everybody.

    groups   numbers of the groups that it is about; None: all
    devices  names of the devices that these groups may be bound to, and that programs and end-points may send
             packets out of; None: all
    allow    of RIGHTS
    """

    user: int | None = None
    group: int | None = None
    everybody: bool = False
    groups: frozenset[int] | None = frozenset()
    devices: frozenset[str] | None = frozenset()
    allow: frozenset[str] = frozenset()

    def concerns(self, peer: Peer) -> bool:
        return self.everybody or self.user == peer.uid or (self.group is not None and self.group in peer.gids)

    def allows(self, right: str) -> bool:
        return any(each in self.allow for each in RIGHTS[RIGHTS.index(right) :])

    def has_group(self, number: int) -> bool:
        return self.groups is None or number in self.groups

    def has_device(self, name: str) -> bool:
        return self.devices is None or name in self.devices


class Access:
    """Answers for the rules of a configuration; they never change, another configuration has another one."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)

    def is_admin(self, peer: Peer) -> bool:
        return peer.uid in (0, os.geteuid()) or any(rule.allows("admin") for rule in self._of(peer))

    def has_any(self, peer: Peer) -> bool:
        """Whether there is any use in talking to it."""
        return self.is_admin(peer) or any(rule.allows("see") for rule in self._of(peer))

    def group(self, peer: Peer, right: str, number: int) -> bool:
        """Whether it has a right to a group."""
        return self.is_admin(peer) or any(rule.allows(right) and rule.has_group(number) for rule in self._of(peer))

    def device(self, peer: Peer, name: str, number: int | None = None) -> bool:
        """Whether it may use a device: for a group that it may configure, or for any such."""
        return self.is_admin(peer) or any(
            rule.allows("configure") and rule.has_device(name) and (number is None or rule.has_group(number))
            for rule in self._of(peer)
        )

    def _of(self, peer: Peer) -> list[Rule]:
        return [rule for rule in self.rules if rule.concerns(peer)]
