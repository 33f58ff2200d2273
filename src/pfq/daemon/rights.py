"""What one client may do: the rules of the configuration together with the policies of groups.

What a client may not see is as if it were not there, down to the words.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pfq.engine.endpoint import Endpoint
from pfq.engine.group import Group
from pfq.engine.policy import Identity
from pfq.errors import NotPermittedError, UsageError
from pfq.wire.faults import numbered

if TYPE_CHECKING:
    from pfq.daemon.session import Session

_NOBODY: Final = -1
"""The number of no end-point."""
_HINT: Final = "rights are in the configuration of pfqd, under [[rights]]"


class RightsOf:
    """The rights of one session."""

    def __init__(self, session: Session) -> None:
        self._of = session

    @property
    def admin(self) -> bool:
        return self._of.service.access.is_admin(self._of.peer)

    @property
    def limited(self) -> bool:
        """The quotas hold for it."""
        return self._of.service.is_limited(self._of.peer)

    def has(self, right: str, number: int) -> bool:
        return self._of.service.access.group(self._of.peer, right, number)

    def need_admin(self, what: str) -> None:
        if not self.admin:
            raise NotPermittedError(f"you may not {what}", hint=_HINT)

    def device(self, name: str, number: int | None = None) -> None:
        """Raises NotPermittedError when the client may not use a device (for a group)."""
        if not self._of.service.access.device(self._of.peer, name, number):
            where = "" if number is None else f" for group {number}"
            raise NotPermittedError(f"you may not use the device `{name}`{where}", hint=_HINT)

    def endpoint(self, number: int) -> Endpoint:
        """An end-point of the session."""
        found = self._of.endpoints.get(number)
        if found is None:
            raise numbered(
                UsageError(
                    f"there is no end-point {number}", hint="end-points belong to the connection that opened them"
                ),
                errno.ENOENT,
            )
        return found

    def group(self, number: int, right: str = "see") -> Group:
        """A group to which the client has a right."""
        found = self._of.service.engine.groups.get(number)
        if found is None or not self.has("see", number):
            raise missing_group(number)
        if not self.has(right, number):
            raise NotPermittedError(f"you may see group {number}, but not {right} it", hint=_HINT)
        return found

    def controlled(self, number: int) -> tuple[Group, Endpoint | None]:
        """A group that the client may change, and for which end-point it does so; None: for none."""
        group = self.group(number, "configure")
        if self.admin:
            return group, None
        if group.held:
            raise NotPermittedError(
                f"group {number} is the configuration's, and only administrators change it", hint=_HINT
            )
        for endpoint in self._of.endpoints.values():
            if number in endpoint.groups:
                return group, endpoint
        if not (self._of.opened.get(number) is group and not group.members):
            group.rights.control(Identity(_NOBODY, self._of.owner), set())
        return group, None

    def read(self, group: Group) -> None:
        """Raises NotPermittedError when the policy of a group keeps its counters from the client."""
        if self.admin:
            return
        mine = [endpoint.identity for endpoint in self._of.endpoints.values()]
        if group.rights.owner in mine:
            return
        group.rights.read(Identity(_NOBODY, self._of.owner))

    def reads(self, group: Group) -> bool:
        try:
            self.read(group)
        except NotPermittedError:
            return False
        return True


def missing_group(number: int) -> UsageError:
    """What is said of a group that is not there, or not for this client."""
    hint = "groups are there as long as they have members"
    return numbered(UsageError(f"there is no group {number}", hint=hint), errno.ENOENT)
