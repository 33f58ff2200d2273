"""Keeps clients within the limits: asked before the kernel is."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from dataclasses import dataclass

from pfq.daemon.limits import Limits
from pfq.errors import LimitError
from pfq.wire.faults import numbered


@dataclass(slots=True)
class Bucket:
    """Lets through so many at once, and then so many a second."""

    rate: float
    burst: float
    left: float = 0.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may go through."""
        self.left = min(self.burst, self.left + (now - self.at) * self.rate) if self.at else self.burst
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Quotas:
    """What users have now. Any thread may ask.

    limits  may be replaced at any time; what was granted stays
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._connections: Counter[int] = Counter()
        self._endpoints: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._changes: dict[int, Bucket] = {}

    def connect(self, uid: int, limited: bool) -> None:
        """Grants a connection, or raises LimitError."""
        with self._lock:
            if self._connections.total() >= self.limits.connections:
                raise LimitError(
                    f"pfqd has {self.limits.connections} clients, and no more are served",
                    hint="end one of them, or raise `connections` under [limits]",
                )
            if limited and self._connections[uid] >= self.limits.user_connections:
                raise LimitError(
                    f"user {uid} has {self.limits.user_connections} connections to pfqd, and gets no more",
                    hint="end one of them, or have `user_connections` raised under [limits]",
                )
            self._connections[uid] += 1

    def disconnect(self, uid: int) -> None:
        with self._lock:
            self._give(self._connections, uid, 1)

    def take(self, uid: int, limited: bool, endpoints: int = 0, ring_bytes: int = 0) -> None:
        """Grants end-points, and memory for their rings, or raises LimitError and grants nothing."""
        limits = self.limits
        with self._lock:
            if limited and endpoints and self._endpoints[uid] + endpoints > limits.user_endpoints:
                raise LimitError(
                    f"user {uid} has {self._endpoints[uid]} end-points, and gets no more",
                    hint="close one, or have `user_endpoints` raised under [limits]",
                )
            if limited and ring_bytes and self._bytes[uid] + ring_bytes > limits.user_ring_bytes:
                raise LimitError(
                    f"rings of {ring_bytes} bytes are too much: user {uid} has {self._bytes[uid]} of at most "
                    f"{limits.user_ring_bytes}",
                    hint="ask for fewer slots or a shorter snap length, or have `user_ring_bytes` raised",
                )
            self._endpoints[uid] += endpoints
            self._bytes[uid] += ring_bytes

    def give(self, uid: int, endpoints: int = 0, ring_bytes: int = 0) -> None:
        """Takes back what was granted."""
        with self._lock:
            self._give(self._endpoints, uid, endpoints)
            self._give(self._bytes, uid, ring_bytes)

    def change(self, uid: int, limited: bool) -> None:
        """Grants a change that may need a compiler or much memory, or raises LimitError."""
        limits = self.limits
        if not limited:
            return
        with self._lock:
            bucket = self._changes.get(uid)
            if bucket is None or (bucket.rate, bucket.burst) != (limits.changes_per_second, limits.changes_at_once):
                bucket = self._changes[uid] = Bucket(limits.changes_per_second, limits.changes_at_once)
            if not bucket.take(time.monotonic()):
                raise numbered(
                    LimitError(
                        f"user {uid} makes more than {limits.changes_per_second} programs, bindings or rings a second",
                        hint="wait a moment and ask again",
                    ),
                    errno.EAGAIN,
                )

    def used(self, uid: int) -> tuple[int, int, int]:
        """A user's connections, end-points, and bytes of rings."""
        with self._lock:
            return self._connections[uid], self._endpoints[uid], self._bytes[uid]

    def _give(self, which: Counter[int], uid: int, amount: int) -> None:
        which[uid] -= amount
        if which[uid] <= 0:
            del which[uid]
