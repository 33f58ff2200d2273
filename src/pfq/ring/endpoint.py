"""The mapped rings of one end-point: libpfq's functions as one object."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from pfq._libpfq import ffi, lib
from pfq.errors import InternalError, KernelRefusedError, LimitError
from pfq.ring.batch import Batch
from pfq.ring.lease import Ledger
from pfq.ring.memory import RingMemory, slot_dtype
from pfq.ring.statistics import RingStatistics


class Endpoint:
    """Maps the rings; they stay mapped until this object, its batches and all arrays on them are gone."""

    def __init__(
        self, ring_fds: Sequence[int], consumer_fd: int, slots: int, slot_bytes: int, doorbell_fd: int, wake_fd: int
    ) -> None:
        """Raises LimitError or KernelRefusedError. The parameters are those of `struct pfq_endpoint_opts`."""
        fds = ffi.new("int[]", list(ring_fds))
        opts = ffi.new("struct pfq_endpoint_opts *")
        opts.size = ffi.sizeof("struct pfq_endpoint_opts")
        opts.ring_fds, opts.rings = fds, len(ring_fds)
        opts.slots, opts.slot_bytes = slots, slot_bytes
        opts.consumer_fd, opts.doorbell_fd, opts.wake_fd = consumer_fd, doorbell_fd, wake_fd
        out = ffi.new("struct pfq_endpoint **")
        _check_open(lib.pfq_endpoint_open(out, opts))
        self._handle = ffi.gc(out[0], lib.pfq_endpoint_close)
        self._run = ffi.new("struct pfq_batch *")
        self._slots = slots
        self._dtype = slot_dtype(slot_bytes)
        self._memories: dict[int, RingMemory] = {}
        self._ledger = Ledger(self._handle, len(ring_fds))

    def read(self, max_packets: int) -> Batch | None:
        """The next packets of one ring, or None when there are none now."""
        run = self._run
        count = lib.pfq_endpoint_read(self._handle, run, max_packets)
        if count <= 0:
            _check(count)
            return None
        ring, first = run.ring, run.first
        memory = self._memories.get(ring) or self._memory(ring)
        return Batch(memory, self._ledger.take(ring, first, count))

    def wait(self, timeout_ns: int) -> None:
        """Until there are packets, or the time is over, a signal came, or the wake descriptor is readable."""
        code = lib.pfq_endpoint_wait(self._handle, timeout_ns)
        if code not in (-errno.EINTR, -errno.ECANCELED):
            _check(code)

    def statistics(self) -> RingStatistics:
        stats = ffi.new("struct pfq_stats *")
        lib.pfq_endpoint_stats(self._handle, stats)
        return RingStatistics(
            delivered=stats.delivered,
            lost=stats.lost,
            read=stats.read,
            held=stats.read - stats.released,
            waiting=stats.delivered - stats.read,
        )

    def is_stuck(self) -> bool:
        """Whether arrays on packets already read leave the producer of some ring no slot at all."""
        return self._ledger.holds_all(self._slots)

    def _memory(self, ring: int) -> RingMemory:
        """The memory of the ring that `_run` points into."""
        slot_0 = ffi.cast("char *", self._run.slots) - self._run.first % self._slots * self._dtype.itemsize
        self._memories[ring] = RingMemory(self._handle, slot_0, self._slots, self._dtype)
        return self._memories[ring]


def _check_open(code: int) -> None:
    if code == 0:
        return
    message = f"cannot open the rings: {_last_error()}"
    if -code in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        raise LimitError(message, hint="use fewer or smaller rings, or raise the limits of this process")
    raise KernelRefusedError(message)


def _check(code: int) -> None:
    if code < 0:
        raise InternalError(f"reading the rings failed: {_last_error()}")


def _last_error() -> str:
    return bytes(ffi.string(lib.pfq_error_last())).decode()
