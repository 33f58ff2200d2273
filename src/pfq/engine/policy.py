"""Who may join a group, change it, and read its counters.

| policy       | joins a group that has it                          | reads statistics and counters |
| ------------ | -------------------------------------------------- | ----------------------------- |
| `undefined`  | anybody; the first to join with another settles it | anybody                       |
| `private`    | its owner, an end-point                            | its owner                     |
| `restricted` | who asks for `restricted`, in the owner's process  | the owner's process           |
| `shared`     | who asks for `shared`                              | anybody                       |

Only members change what a group does. The engine's own process, for which no end-point speaks, may do all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from pfq.errors import NotPermittedError, UsageError

PolicyName = Literal["undefined", "private", "restricted", "shared"]


class Policy(Enum):
    """See above."""

    UNDEFINED = "undefined"
    PRIVATE = "private"
    RESTRICTED = "restricted"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that an end-point belongs to, and its user."""

    pid: int
    uid: int

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        return cls(os.getpid(), os.getuid())


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: an end-point, by its number, and whose it is."""

    endpoint: int
    owner: Owner


NOBODY = Identity(-1, Owner(0, -1))
"""Whom no end-point is: owns groups that are their maker's."""


@dataclass(slots=True)
class Rights:
    """The rights of one group.

    owner  who settled the policy by joining first; None: nobody yet
    """

    number: int
    policy: Policy
    owner: Identity | None = None

    def join(self, who: Identity, asked: Policy) -> None:
        """Raises NotPermittedError when it may not join; the first who joins is the owner."""
        if asked is Policy.UNDEFINED:
            raise self._refusal("an end-point joins with a policy, and `undefined` is none")
        if self.policy is not Policy.UNDEFINED and not self._admits(who, asked):
            if asked is self.policy:
                raise self._refusal(f"it is {self.policy.value}, and another's")
            raise self._refusal(f"it is {self.policy.value}, and the end-point asked for {asked.value}")
        if self.policy is Policy.UNDEFINED:
            self.policy = asked
        if self.owner is None:
            self.owner = who

    def _admits(self, who: Identity, asked: Policy) -> bool:
        if asked is not self.policy:
            return False
        match self.policy:
            case Policy.PRIVATE:
                return self.owner in (None, who)
            case Policy.RESTRICTED:
                return self.owner is None or self.owner.owner.pid == who.owner.pid
            case _:
                return True

    def read(self, who: Identity | None) -> None:
        """Raises NotPermittedError when statistics and counters are not for it."""
        if who is None or self.owner is None or self.policy in (Policy.SHARED, Policy.UNDEFINED):
            return
        same = who == self.owner if self.policy is Policy.PRIVATE else who.owner.pid == self.owner.owner.pid
        if not same:
            raise self._refusal("its counters are for its owner")

    def control(self, who: Identity | None, members: set[int]) -> None:
        """Raises NotPermittedError when it may not change the group."""
        if who is not None and who.endpoint not in members:
            raise self._refusal("only its members change it")

    def _refusal(self, why: str) -> NotPermittedError:
        return NotPermittedError(f"group {self.number} refused: {why}", hint="policies are in the manual under groups")


def policy_named(name: str) -> Policy:
    try:
        return Policy(name)
    except ValueError:
        known = ", ".join(policy.value for policy in Policy)
        raise UsageError(f"there is no policy `{name}`", hint=f"there are: {known}") from None
