"""A call, from its request to its reply."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pfq.errors import PfqError
from pfq.wire.faults import from_record

if TYPE_CHECKING:
    from pfq.wire.channel import Channel


@dataclass(frozen=True, slots=True)
class Reply:
    """What the daemon answered. Whoever gets it closes the descriptors."""

    result: dict[str, Any]
    descriptors: list[int]


class Call:
    """One call. The lock of its connection guards it.

    sent_on  the channel that it was sent on last
    """

    def __init__(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        self.number = number
        self.name = name
        self.request = {"id": number, "call": name, **arguments}
        self.sent_on: Channel | None = None
        self.done = False
        self.result: dict[str, Any] = {}
        self.error: PfqError | None = None
        self.descriptors: list[int] = []

    def answer(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """A message of the daemon: the last one, or one of several that bring descriptors and parts of lists."""
        self.descriptors += descriptors
        if "error" in message:
            self.error = from_record(message["error"])
        for name, value in message.get("result", {}).items():
            # A long list comes in parts.
            self.result[name] = self.result[name] + value if name in self.result else value
        self.done = not message.get("more")

    def forget(self, error: PfqError) -> None:
        """The daemon will not answer what it was asked in a session that is over."""
        if self.sent_on is not None and not self.done:
            self.error, self.done = error, True

    def taken(self) -> Reply:
        """The reply, which is the caller's from now on; raises its error."""
        if self.error is not None:
            raise self.error
        found, self.descriptors = self.descriptors, []
        return Reply(self.result, found)


def closed(descriptors: Iterable[int]) -> None:
    """Closes descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)
