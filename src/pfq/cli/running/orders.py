"""What signals ask of `pfq run`."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE_S: Final = 0.2
"""Reading and deciding a run takes less; after this long we are waiting for input."""


class Orders:
    """Ctrl-C and SIGTERM ask to stop, SIGUSR1 to show the counts. Nothing is interrupted but waiting for input."""

    def __init__(self) -> None:
        self.stop = self.report = False
        self._asked: float | None = None

    def among(self, items: Iterator[T]) -> Iterator[T]:
        """The items, until the order to stop comes while the next one is waited for."""
        while True:
            self._asked = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            except KeyboardInterrupt:
                self.stop = True
                return
            finally:
                self._asked = None
            yield item

    def on_stop(self, number: int, frame: FrameType | None) -> None:
        again, self.stop = self.stop, True
        if again:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)  # the wait for input may have begun just now
        self.on_time(number, frame)

    def on_time(self, number: int, frame: FrameType | None) -> None:
        """Interrupts a wait for input, once the order to stop has come."""
        if self.stop and self._asked is not None and time.monotonic() - self._asked > PATIENCE_S:
            self._asked = None
            raise KeyboardInterrupt

    def on_report(self, number: int, frame: FrameType | None) -> None:
        self.report = True


@contextmanager
def orders_by_signal() -> Iterator[Orders]:
    """Collects the orders that signals bring while the block runs; a second Ctrl-C interrupts at once."""
    orders = Orders()
    handlers = {
        signal.SIGINT: orders.on_stop,
        signal.SIGTERM: orders.on_stop,
        signal.SIGALRM: orders.on_time,
        signal.SIGUSR1: orders.on_report,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield orders
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
