"""The loop of `pfq capture`: reads end-points in turn until it is told to stop."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from pfq.cli.failure import coloured
from pfq.cli.printing.events import Tell
from pfq.cli.printing.sinks import Sink
from pfq.errors import DaemonGoneError, DeviceGoneError, PfqError, RingClosedError, VersionError

if TYPE_CHECKING:
    from pfq.client.capture import GroupCapture
    from pfq.engine.capture import Capture
    from pfq.ring.batch import Batch

NAP = 0.05
"""Seconds to wait at one of several end-points before the others are looked at."""
LONG_NAP = 0.2
"""The same when there is one only: how late a signal may be noticed."""


@dataclass
class Orders:
    """What signals ask for: Ctrl-C and SIGTERM to stop, SIGUSR1 to show the counts, SIGUSR2 to read files of
    prefixes again."""

    stop: bool = False
    report: bool = False
    reload: bool = False


@contextmanager
def orders_by_signal() -> Iterator[Orders]:
    """Collects the orders that signals bring while the block runs; a second Ctrl-C interrupts at once."""
    orders = Orders()

    def stop(number: int, frame: FrameType | None) -> None:
        orders.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def report(number: int, frame: FrameType | None) -> None:
        orders.report = True

    def reload(number: int, frame: FrameType | None) -> None:
        orders.reload = True

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: report, signal.SIGUSR2: reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield orders
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop unasked: after so many packets, or seconds; None: never."""

    count: int | None = None
    duration: float | None = None


class Session:
    """Feeds the packets of all end-points of a capture to a sink.

    tell    prints what the program told since the last call
    report  prints the counts
    """

    def __init__(
        self,
        capture: Capture | GroupCapture,
        sink: Sink,
        limits: Limits,
        tell: Tell,
        report: Callable[[], None],
    ) -> None:
        self._capture, self._sink, self._limits, self._tell, self._report = capture, sink, limits, tell, report
        self._readers = dict(enumerate(capture))
        self._gone: PfqError | None = None

    def run(self, orders: Orders) -> None:
        """Until the count is reached, or until the capture was stopped or lost its device and its rings are empty."""
        end = math.inf if self._limits.duration is None else time.monotonic() + self._limits.duration
        stopped = idle = False
        while self._readers and (budget := self._budget()):
            if orders.report:
                orders.report = False
                self._report()
            if orders.reload:
                orders.reload = False
                self._reload()
            if not stopped and (orders.stop or time.monotonic() >= end):
                self._capture.stop()
                stopped = True
            nap = min(self._nap(), max(0.0, end - time.monotonic())) if idle and not stopped else 0.0
            batches = self._read(budget, nap)
            idle = not batches
            self._tell()
            if batches:
                self._sink.take(batches)
            else:
                self._sink.pause()
        if self._gone:
            raise self._gone

    def _reload(self) -> None:
        """A file that is wrong leaves the set as it was, and the capture goes on."""
        try:
            changed = self._capture.reload_sets()
        except PfqError as error:
            print(coloured(str(error), sys.stderr), file=sys.stderr)
            return
        print("read again: " + (", ".join(changed) or "no set has changed"), file=sys.stderr)

    def _budget(self) -> int:
        """Packets that may be read in one round; none when the sink takes no more."""
        if self._sink.full:
            return 0
        count = self._limits.count
        return self._sink.at_a_time if count is None else min(count - self._sink.packets, self._sink.at_a_time)

    def _nap(self) -> float:
        return LONG_NAP if len(self._readers) == 1 else NAP

    def _read(self, budget: int, nap: float) -> list[tuple[int, Batch]]:
        """At most `budget` packets of all end-points; waits up to `nap` seconds at the first of them."""
        batches: list[tuple[int, Batch]] = []
        first, *others = self._readers
        for number, timeout in ((first, nap), *((other, 0.0) for other in others)):
            batch = self._read_one(number, budget, timeout) if budget else None
            if batch is not None:
                batches.append((number, batch))
                budget -= len(batch)
        if first in self._readers:  # each end-point is the first in its turn
            self._readers[first] = self._readers.pop(first)
        return batches

    def _read_one(self, number: int, budget: int, timeout: float) -> Batch | None:
        try:
            return self._readers[number].read(budget, timeout)
        except (DeviceGoneError, DaemonGoneError, VersionError) as error:
            self._gone = error
        except RingClosedError:
            pass  # stopped, and empty
        del self._readers[number]
        return None
