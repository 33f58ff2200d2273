"""Reading a group that runs in the daemon, with the interface of a capture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pfq.client.engine import RemoteEngine
from pfq.engine.statistics import CaptureStatistics, GroupStatistics
from pfq.errors import DaemonGoneError, PfqError, RingClosedError, UsageError

if TYPE_CHECKING:
    from pfq.engine.events import ProgramEvent
    from pfq.engine.shapes import ClockName
    from pfq.ring.reader import Reader


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices that a group is bound to.

    name  of them, with commas between; that of the group when it is bound to none
    """

    name: str


class GroupCapture:
    """End-points of this process that have joined a group. `cap[i]` is the `Reader` of end-point i.

    device      where the group's packets come from
    program     the group's, as text
    attachment  where that runs, in words
    """

    def __init__(
        self,
        engine: RemoteEngine,
        number: int,
        *,
        endpoints: int = 1,
        classes: int = 1,
        weight: int = 1,
        snaplen: int | None = None,
        slots: int | None = None,
        clock: ClockName = "ns",
    ) -> None:
        """Joins; the arguments are those of `RemoteEngine.endpoint` and `RemoteGroup.join`.

        Raises UsageError when there is no such group.
        """
        about = _about(engine, number)
        devices = sorted({each["device"] for each in about["bindings"]})
        self.device = Devices(",".join(devices) or f"group {number}")
        self.program: str = about["program"]
        ways = sorted({f"{each['attachment']} on {each['device']}" for each in about["bindings"]})
        self.attachment = f"group {number}: " + (", ".join(ways) or "not bound to any device")
        self._group = engine.group(number, about["policy"])
        self._engine = engine
        self._before = self._now = self._group.statistics()
        self._endpoints = [
            engine.endpoint(snaplen=snaplen, slots=slots, clock=clock, weight=weight) for _ in range(endpoints)
        ]
        self.snaplen = self._endpoints[0].snaplen
        for endpoint in self._endpoints:
            self._group.join(endpoint, classes)

    def __len__(self) -> int:
        return len(self._endpoints)

    def __getitem__(self, number: int) -> Reader:
        """The reader of an end-point; raises IndexError when there is no such end-point."""
        return self._endpoints[number].reader

    def __iter__(self) -> Iterator[Reader]:
        return (endpoint.reader for endpoint in self._endpoints)

    def events(self) -> list[ProgramEvent]:
        """What the programs of the group told since the last call; nothing while the daemon is away."""
        with suppress(DaemonGoneError, RingClosedError):
            return self._engine.events()
        return []

    def events_missed(self) -> int:
        """Events that were not told, because there were too many."""
        with suppress(DaemonGoneError, RingClosedError):
            return self._engine.events_missed()
        return 0

    def reload_sets(self) -> list[str]:
        """Has the daemon read the files of the program's sets of prefixes again."""
        return self._group.reload_sets()

    def statistics(self) -> CaptureStatistics:
        """The group's counters since it was joined, as far as the daemon could tell them, and our end-points' own."""
        self._look()
        return CaptureStatistics(
            groups=(_difference(self._now, self._before),),
            endpoints=tuple(endpoint.statistics() for endpoint in self._endpoints),
        )

    def _look(self) -> None:
        with suppress(PfqError):  # the daemon is away, or the group has ended: what was known last holds
            self._now = self._group.statistics()

    def stop(self) -> None:
        """Leaves the group. Readers get what is in their rings, then they end. Again is harmless."""
        self._look()
        with suppress(DaemonGoneError, RingClosedError):  # the connection's end does it as well
            for endpoint in self._endpoints:
                if not endpoint.reader.closed:
                    self._group.leave(endpoint)
        for endpoint in self._endpoints:
            endpoint.reader.fail(RingClosedError("the group was left"))

    def close(self) -> None:
        """Ends the connection."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _about(engine: RemoteEngine, number: int) -> dict[str, Any]:
    """What the daemon lists about a group."""
    groups: list[dict[str, Any]] = engine.listed()["groups"]
    for group in groups:
        if group["group"] == number:
            return group
    there = ", ".join(str(each["group"]) for each in groups)
    hint = f"there are: {there}" if there else "there are none; pfqd makes those of its configuration"
    raise UsageError(f"there is no group {number}", hint=hint)


def _difference(now: GroupStatistics, before: GroupStatistics) -> GroupStatistics:
    names = ("arrived", "filtered", "dropped", "selected", "nobody", "forwarded", "unsent", "to_linux")
    counters = tuple((a - b) % (1 << 64) for a, b in zip(now.counters, before.counters, strict=True))
    return GroupStatistics(counters=counters, **{name: getattr(now, name) - getattr(before, name) for name in names})
