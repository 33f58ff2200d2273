"""The engine that runs in the daemon, as a client sees it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import finalize

from pfq.client import forms
from pfq.client.connection import Connection
from pfq.client.endpoint import RemoteEndpoint
from pfq.client.group import RemoteGroup
from pfq.engine.egress import Egress
from pfq.engine.statistics import GroupStatistics
from pfq.errors import RingClosedError

if TYPE_CHECKING:
    from pfq.engine.events import ProgramEvent
    from pfq.engine.policy import PolicyName
    from pfq.engine.shapes import ClockName


class RemoteEngine:
    """Groups and end-points in pfqd; made by `pfq.connect`.

        with pfq.connect() as engine:
            group = engine.group(7)
            endpoint = engine.endpoint()
            group.join(endpoint)
            for batch in endpoint.reader:
                ...

    It has the methods of an `Engine`, and needs no privilege: what it may do is in the daemon's configuration. Any
    thread may call it. When it is closed, or this process ends, its end-points leave their groups.

    When the daemon dies packets still come. Calls wait some seconds for its successor, with which everything goes on;
    only when that one knows nothing of the session do readers and calls raise DaemonGoneError.
    """

    def __init__(self, path: str) -> None:
        self.connection = Connection(path)
        self.closed = False
        self._told: list[ProgramEvent] = []
        finalize(self, self.connection.end).atexit = False  # at exit they are all closed, see `lives`

    # groups and end-points

    def group(self, number: int | None = None, policy: PolicyName = "shared") -> RemoteGroup:
        """A group: the one with this number, made when there is none; None: a new one, with the lowest free number.

        policy  who may join, see `pfq.engine.policy`
        Raises LimitError when all 64 are in use, UsageError when the group is there with another policy.
        """
        found = self._call("group.open", group=number, policy=policy)
        return RemoteGroup(self, found["group"])

    def endpoint(
        self,
        *,
        snaplen: int | None = None,
        slots: int | None = None,
        clock: ClockName = "ns",
        weight: int = 1,
        enabled: bool = True,
        egress: Egress | None = None,
    ) -> RemoteEndpoint:
        """A new end-point. The arguments are those of `Engine.endpoint`.

        Raises LimitError when all 64 are in use, or this user's share of them.
        """
        wanted: dict[str, Any] = {"snaplen": snaplen, "slots": slots, "clock": clock, "weight": weight}
        self._open()
        opened = self.connection.call("endpoint.open", **wanted, enabled=enabled, egress=forms.egress(egress))
        return RemoteEndpoint(self, opened, egress)

    def statistics(self, number: int) -> GroupStatistics:
        """The counters of a group; raises UsageError when no group has the number."""
        return forms.group_statistics(self._call("group.statistics", group=number))

    def events(self) -> list[ProgramEvent]:
        """What the programs of our groups told since the last call."""
        self._fetch()
        found, self._told = self._told, []
        return found

    def events_missed(self) -> int:
        """Events that were not told, because there were too many."""
        return self._fetch()

    def _fetch(self) -> int:
        found = self._call("events")
        self._told += map(forms.event, found["events"])
        return int(found["missed"])

    # what the daemon tells about itself

    def listed(self) -> dict[str, Any]:
        """All groups, end-points and devices that this user may see, as plain data."""
        return self._call("list")

    def status(self) -> dict[str, Any]:
        """How the daemon is: its version, since when, its clients; as plain data."""
        return self._call("status")

    def _call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        self._open()
        return self.connection.call(name, **arguments).result

    def _open(self) -> None:
        if self.closed:
            raise RingClosedError("the connection to pfqd is closed", hint="make another one")

    # the end

    def close(self) -> None:
        """Ends the connection and all its readers; counters of end-points stay readable. Again is harmless."""
        self.closed = True
        self.connection.close()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteEngine at {self.connection.path}{', closed' if self.closed else ''}>"
