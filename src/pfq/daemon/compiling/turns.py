"""Who may have something compiled next, so that nobody who asks for much keeps the others waiting."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pfq.errors import LimitError

MOST_WAITING: Final = 16
PATIENCE_S: Final = 90.0


@dataclass(eq=False, slots=True)
class _Place:
    """In the queue."""

    who: Hashable
    called: bool = False


class Turns:
    """A number of places to work at, of which one is always kept from whoever has all others.

    places  at least 2
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._changed = threading.Condition()
        self._working: Counter[Hashable] = Counter()
        self._waiting: list[_Place] = []

    @contextmanager
    def turn(self, who: Hashable) -> Iterator[None]:
        """Waits for a place, and has it meanwhile; raises LimitError when too many wait, or for too long."""
        place = _Place(who)
        with self._changed:
            if sum(each.who == who for each in self._waiting) >= MOST_WAITING:
                raise LimitError(f"{MOST_WAITING} programs of yours wait to be compiled", hint="wait for their results")
            self._waiting.append(place)
            self._call()
            called = self._changed.wait_for(lambda: place.called, PATIENCE_S)
            if not called:
                self._waiting.remove(place)
                raise LimitError("the compile workers are too busy", hint="try again later")
        try:
            yield
        finally:
            with self._changed:
                self._working[who] -= 1
                self._working += Counter()  # forgets those who have none
                self._call()

    def _call(self) -> None:
        """Calls those whose turn it is: first whoever works least, then whoever came first."""
        while self._working.total() < self.places:
            ready = [each for each in self._waiting if self._working[each.who] < self.places - 1]
            if not ready:
                return
            next = min(ready, key=lambda each: self._working[each.who])
            next.called = True
            self._waiting.remove(next)
            self._working[next.who] += 1
            self._changed.notify_all()
