"""An end-point as the connection sees it: what must be reached when news comes from the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from pfq.errors import PfqError
from pfq.ring.reader import Reader


class Place:
    """The reader of one end-point, when it has one, and whether the daemon still knows the end-point.

    number  of the end-point
    lost    why every call about it fails; None: it does not
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.lost: PfqError | None = None
        self.reader: Reader | None = None
        self._failure: PfqError | None = None
        self._lock = Lock()

    def open(self, descriptors: Sequence[int], slots: int, slot_bytes: int) -> None:
        """Maps rings: those by CPU, the consumer page, the doorbell. The descriptors stay the caller's."""
        *rings, consumer, doorbell = descriptors
        reader = Reader(rings, consumer, slots=slots, slot_bytes=slot_bytes, doorbell_fd=doorbell)
        with self._lock:
            self.reader = reader
            if self._failure is not None:
                reader.fail(self._failure)

    def fail(self, error: PfqError, lost: bool = False) -> None:
        """There will be no more packets; lost: and the daemon does not know the end-point any more."""
        with self._lock:
            if lost:
                self.lost = error
            self._failure = error
            if self.reader is not None:
                self.reader.fail(error)

    def close(self) -> None:
        """Ends the reader; another one may come."""
        with self._lock:
            self._failure = None
            if self.reader is not None:
                self.reader.close()
