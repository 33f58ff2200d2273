"""Several sources read at the same time, their items handed over in the order of the sources."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, Generic, TypeVar

T = TypeVar("T")

AHEAD_BYTES: Final = 64 << 20
"""What may wait of one source while those before it are read."""
TICK_S: Final = 0.1
"""How long to wait for an item before None is handed over."""
GOODBYE_S: Final = 1.0
"""How long the end waits for a thread, which may be in the middle of a read that takes forever."""

Source = Callable[[], Generator[T | None, None, None]]


def in_order(
    sources: Sequence[Source[T]], jobs: int, weigh: Callable[[T], int], ahead: int = AHEAD_BYTES
) -> Generator[tuple[int, T | None], None, None]:
    """The items of all sources with the numbers of their sources, each source run in one of `jobs` threads.

    weigh  bytes that an item holds; at most `ahead` of them wait for each source, and at most
           2 * jobs sources are begun and not yet handed over
    Each source is announced by (number, None), which comes again now and then while there is nothing to hand
    over. A source may give None to be asked whether to go on. An error of a source is raised in its turn, behind
    the items before it; the end of this iterator, however it comes, ends the threads.
    """
    desk = _Desk(sources, jobs, weigh, ahead)
    threads = [threading.Thread(target=desk.work, name=f"pfq run {i}", daemon=True) for i in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for number in range(len(sources)):
            desk.turn_to(number)
            yield number, None
            for item in desk.items(number):
                yield number, item
    finally:
        desk.stop()
        for thread in threads:
            thread.join(GOODBYE_S)


class _Desk(Generic[T]):
    """Where the threads leave what they made; one condition guards everything."""

    def __init__(self, sources: Sequence[Source[T]], jobs: int, weigh: Callable[[T], int], ahead: int) -> None:
        self._sources, self._jobs, self._weigh, self._ahead = sources, jobs, weigh, ahead
        self._changed = threading.Condition()
        self._next = self._turn = 0
        self._stopping = False
        self._waiting: list[deque[T]] = [deque() for _ in sources]
        self._held = [0] * len(sources)
        self._ended: dict[int, BaseException | None] = {}

    def work(self) -> None:
        """The life of a thread: one source after the other."""
        while (number := self._take()) is not None:
            error: BaseException | None = None
            try:
                with closing(self._sources[number]()) as items:
                    for item in items:
                        if not self._put(number, item):
                            break
            except BaseException as found:  # raised again where the items are read
                error = found
            with self._changed:
                self._ended[number] = error
                self._changed.notify_all()

    def _take(self) -> int | None:
        """The next source nobody has begun; None when there is nothing more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._next < self._turn + 2 * self._jobs)
            if self._stopping or self._next == len(self._sources):
                return None
            self._next += 1
            return self._next - 1

    def _put(self, number: int, item: T | None) -> bool:
        """Leaves an item; False when nobody wants more."""
        if item is None:
            return not self._stopping
        weight = self._weigh(item)
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or not self._waiting[number] or self._held[number] + weight <= self._ahead
            )
            self._waiting[number].append(item)
            self._held[number] += weight
            self._changed.notify_all()
            return not self._stopping

    def turn_to(self, number: int) -> None:
        with self._changed:
            self._turn = number
            self._changed.notify_all()

    def items(self, number: int) -> Iterator[T | None]:
        """What a source has left until now and leaves from now on, None while it takes its time; raises its error
        at the end."""
        waiting = self._waiting[number]
        while True:
            item: T | None = None
            with self._changed:
                self._changed.wait_for(lambda: waiting or number in self._ended, TICK_S)
                if waiting:
                    item = waiting.popleft()
                    self._held[number] -= self._weigh(item)
                    self._changed.notify_all()
                elif number in self._ended:
                    break
            yield item
        error = self._ended[number]
        if error is not None:
            raise error

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
