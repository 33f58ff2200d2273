"""Reading an end-point: batches of packets from its rings, in turn."""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Sequence
from copy import copy
from threading import Lock, RLock, get_ident
from types import TracebackType
from typing import Final, Self

from pfq.errors import LimitError, PfqError, RingClosedError, UsageError
from pfq.ring.batch import Batch
from pfq.ring.endpoint import Endpoint
from pfq.ring.statistics import RingStatistics

DEFAULT_BATCH: Final = 4096
"""Packets in a batch at most, unless the caller says otherwise."""

# A signal that arrives just before the sleep does not end it, so a sleep is never long.
_LONGEST_SLEEP_NS: Final = 200_000_000


class Reader:
    """The reader of one end-point. One thread at a time reads; several readers run in parallel.

    Iterating gives batches until the reader is closed:

        for batch in reader:
            total += int(batch.len.sum())
    """

    def __init__(
        self, ring_fds: Sequence[int], consumer_fd: int, *, slots: int, slot_bytes: int, doorbell_fd: int = -1
    ) -> None:
        """Maps the rings; the descriptors stay the caller's and may be closed afterwards.

        ring_fds:     one ring map for each possible CPU, -1 for a CPU without a ring
        consumer_fd:  map with one `CONSUMER` of the layout for each of them
        slots:        of each ring, a power of two
        slot_bytes:   of each slot, header included
        doorbell_fd:  BPF ring buffer that wakes a sleeping reader; -1: it looks every millisecond
        Raises LimitError (no memory or descriptors), KernelRefusedError.
        """
        try:
            self._wake = io.FileIO(os.eventfd(0), "r+")
        except OSError as error:
            raise LimitError(
                f"there is no descriptor for a reader: {error.strerror}",
                hint="raise the limit of open files (ulimit -n)",
            ) from None
        try:
            self._endpoint: Endpoint | None = Endpoint(
                ring_fds, consumer_fd, slots, slot_bytes, doorbell_fd, self._wake.fileno()
            )
        except PfqError:
            self._wake.close()
            raise
        self._final = self._endpoint.statistics()  # replaced when the reader is closed
        self._batch: Batch | None = None
        self._busy = Lock()  # held while a thread reads
        self._wake_lock = RLock()  # held while the wake descriptor is written or closed
        self._thread = 0
        self._closed = False
        self._failure: PfqError | None = None
        self._warned = False

    def read(self, max_packets: int = DEFAULT_BATCH, timeout: float | None = None) -> Batch | None:
        """The next packets of one ring; releases the batch read before.

        timeout:  seconds to wait when there are none; None waits without limit, 0 not at all
        Returns None when the time is over. Raises RingClosedError when the reader is or gets closed,
        the error given to `fail` once all packets are read, and UsageError while another thread reads.
        """
        if not self._busy.acquire(blocking=False):
            raise UsageError(
                "another thread is reading this end-point", hint="give each thread an end-point of its own"
            )
        try:
            batch, self._batch = self._batch, None
            if batch is not None:
                batch.release()
            if self._endpoint is None or self._closed:
                raise RingClosedError("the capture was closed")
            self._thread = get_ident()
            self._batch = self._endpoint.read(max_packets) or self._wait(max_packets, timeout)
            return self._batch
        finally:
            self._busy.release()
            if self._closed:
                self._let_go()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        try:
            batch = self.read()
        except RingClosedError:
            raise StopIteration from None
        assert batch is not None, "there is no timeout"
        return batch

    def statistics(self) -> RingStatistics:
        """The counters now, or when the reader was closed. May be called from any thread."""
        endpoint = self._endpoint
        return self._final if endpoint is None else endpoint.statistics()

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Ends reading, also for a thread that waits, and unmaps the rings.

        The last batch of the calling thread is released. One that another thread works with stays
        valid, and its ring mapped, until that thread releases it or reads on.
        """
        self._closed = True
        self._end_wait()
        if self._batch is not None and self._thread == get_ident():
            self._batch.release()
        self._let_go()

    def fail(self, error: PfqError) -> None:
        """There will be no more packets, because of `error`: readers get what is there, then the error."""
        self._failure = error
        self._end_wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _wait(self, max_packets: int, timeout: float | None) -> Batch | None:
        """The next packets, after waiting for them; None when the time is over."""
        # No local name for the end-point: the traceback of an error would keep its rings mapped.
        assert self._endpoint is not None, "nobody closes it while a thread reads"
        end_ns = None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)
        while not self._closed:
            failure = self._failure  # asked before the last look, so that no packet is left behind
            batch = self._endpoint.read(max_packets)
            if batch is not None:
                return batch
            if failure is not None:
                raise copy(failure)  # several end-points have the same one, and a traceback is of one thread
            left_ns = _LONGEST_SLEEP_NS if end_ns is None else end_ns - time.monotonic_ns()
            if left_ns <= 0:
                return None
            if not self._warned and self._endpoint.is_stuck():
                self._warn()
            self._endpoint.wait(min(left_ns, _LONGEST_SLEEP_NS))
        raise RingClosedError("the capture was closed")

    def _warn(self) -> None:
        self._warned = True
        warnings.warn(
            "arrays that outlived their batches hold every slot of a ring, so packets are lost;"
            " copy what you keep, for example `batch.len.copy()`",
            RuntimeWarning,
            stacklevel=4,
        )

    def _end_wait(self) -> None:
        with self._wake_lock:
            if not self._wake.closed:
                os.eventfd_write(self._wake.fileno(), 1)

    def _let_go(self) -> None:
        """Drops the rings, unless a thread is reading: that one does it when it leaves."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            if self._endpoint is not None:
                self._final = self._endpoint.statistics()
                self._endpoint = self._batch = None
            with self._wake_lock:
                self._wake.close()
        finally:
            self._busy.release()
