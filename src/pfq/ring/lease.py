"""Who still uses which slots, and giving them back in order.

Reading a batch takes a lease on its slots. The lease ends when the batch was released *and* no
array on the slots is alive any more, be it one that no longer knows of the batch. Slots go back to
the producer in the order of the ring, so a long lease holds up the later ones.
"""

from __future__ import annotations

import weakref
from collections import deque
from threading import Lock
from typing import Any

from pfq._libpfq import lib


class Lease:
    """The slots of one batch.

    expired  the batch was released; what views ask
    ended    and no array on the slots is left
    """

    __slots__ = ("_ledger", "_watch", "ended", "expired", "first", "ring", "upto")

    def __init__(self, ledger: weakref.ref[Ledger], ring: int, first: int, count: int) -> None:
        self.ring = ring
        self.first = first
        self.upto = first + count
        self.expired = False
        self.ended = False
        self._ledger = ledger
        self._watch: weakref.ref[Any] | None = None

    def watch(self, root: object) -> None:
        """Makes the lease last as long as `root`, the array that all views of the batch derive from."""
        self._watch = weakref.ref(root, self._end)

    def expire(self) -> None:
        """The batch is released. Call this before dropping its reference to the root."""
        self.expired = True
        if self._watch is None:
            self._end()

    def _end(self, _watch: object = None) -> None:
        self.ended = True
        self._watch = None
        if ledger := self._ledger():
            ledger.give_back(self.ring)


class Ledger:
    """The leases of an end-point, by ring, oldest first.

    A lease does not keep its ledger alive: when the end-point is gone nobody wants the slots back.
    """

    def __init__(self, endpoint: Any, rings: int) -> None:
        self._endpoint = endpoint
        self._leases: list[deque[Lease]] = [deque() for _ in range(rings)]
        self._lock = Lock()
        self._self = weakref.ref(self)

    def take(self, ring: int, first: int, count: int) -> Lease:
        lease = Lease(self._self, ring, first, count)
        self._leases[ring].append(lease)
        return lease

    def give_back(self, ring: int) -> None:
        """Returns the slots of all ended leases that no older one holds up.

        Runs in any thread and, as the end of an array's life, in the middle of anything, this very
        method included. So it never waits for the lock: whoever holds it looks again afterwards.
        """
        leases = self._leases[ring]
        while leases and leases[0].ended:
            if not self._lock.acquire(blocking=False):
                return
            try:
                while leases and leases[0].ended:
                    upto = leases.popleft().upto
                    lib.pfq_endpoint_release(self._endpoint, ring, upto)
            finally:
                self._lock.release()

    def holds_all(self, slots: int) -> bool:
        """Whether the leases of some ring leave its producer no slot at all."""
        return any(leases and leases[-1].upto - leases[0].first >= slots for leases in self._leases)
