"""A capture without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

from click.testing import Result

from pfq.engine.events import ProgramEvent
from pfq.engine.statistics import CaptureStatistics, EndpointStatistics, GroupStatistics
from pfq.errors import PfqError, RingClosedError
from pfq.ring import Reader
from support.rings import FakeRings


class FakeCapture:
    """A capture of the frames that the test publishes: real rings and readers, no kernel."""

    snaplen = 2016
    attachment = "XDP (native) on v1"

    def __init__(self, endpoints: int, stack: ExitStack) -> None:
        self.rings = [stack.enter_context(FakeRings(slots=64, slot_bytes=2048)) for _ in range(endpoints)]
        self.readers: list[Reader] = [stack.enter_context(rings.reader()) for rings in self.rings]
        self.device = SimpleNamespace(name="v1")
        self.arguments: dict[str, Any] = {}
        self.stops = 0
        self.dropped = self.missed = 0
        self.told: list[ProgramEvent] = []
        self.on_stop: Callable[[], None] = lambda: None

    def publish(self, *frames: bytes, endpoint: int = 0, ts_ns: int = 0, **fields: int) -> None:
        for i, frame in enumerate(frames):
            self.rings[endpoint].publish(frame, ts_ns=ts_ns + i * 1000, **fields)

    def end(self, error: PfqError) -> None:
        """No more packets will come, as when the device is gone."""
        for reader in self.readers:
            reader.fail(error)

    def events(self) -> list[ProgramEvent]:
        found, self.told = self.told, []
        return found

    def events_missed(self) -> int:
        return self.missed

    def stop(self) -> None:
        self.stops += 1
        self.on_stop()
        self.end(RingClosedError("the capture was stopped"))

    def statistics(self) -> CaptureStatistics:
        found = [reader.statistics() for reader in self.readers]
        endpoints = tuple(
            EndpointStatistics(ring.delivered + ring.lost, ring.delivered, ring.lost, ring.read, ring.waiting)
            for ring in found
        )
        selected = sum(endpoint.selected for endpoint in endpoints)
        group = GroupStatistics(selected + self.dropped, 0, self.dropped, selected, 0, (0,) * 64)
        return CaptureStatistics((group,), endpoints)

    def __len__(self) -> int:
        return len(self.readers)

    def __getitem__(self, number: int) -> Reader:
        return self.readers[number]

    def __iter__(self) -> Iterator[Reader]:
        return iter(self.readers)

    def __enter__(self) -> FakeCapture:
        return self

    def __exit__(self, *of: object) -> None:
        for reader in self.readers:
            reader.close()


MakeCapture = Callable[..., FakeCapture]
Run = Callable[..., Result]
"""Arguments of `pfq` to what it printed and returned."""
