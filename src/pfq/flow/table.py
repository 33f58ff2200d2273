"""A table of the flows that are going on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.ethernet import as_ethernet
from pfq.columns.headers import HEADERS_DTYPE, decode
from pfq.columns.records import Array, Records
from pfq.errors import KernelRefusedError, LimitError, UsageError
from pfq.flow.batch import FLOW_DTYPE, FlowBatch, joined
from pfq.flow.statistics import FlowStatistics

IDLE_TIMEOUT: Final = 120.0
ACTIVE_TIMEOUT: Final = 1800.0
MAX_FLOWS: Final = 1_000_000
MOST_FLOWS: Final = 1 << 28
"""A table cannot be asked to hold more."""

BATCH_FLOWS: Final = 8192
"""Flows that are taken out of the table at a time."""
ENDLESS_NS: Final = (1 << 64) - 1


class FlowTable:
    """Puts packets in flows. Time is that of the packets; docs/flows.md has the rules.

    table = FlowTable(idle_timeout=30)
    for records in file.runs():
        table.add(records)
        store(table.expired())
    store(table.close())
    """

    def __init__(
        self,
        *,
        idle_timeout: float = IDLE_TIMEOUT,
        active_timeout: float = ACTIVE_TIMEOUT,
        max_flows: int = MAX_FLOWS,
        seed: tuple[int, int] | None = None,
    ) -> None:
        """An empty table.

        idle_timeout    seconds without a packet after which a flow ends; `math.inf` for never
        active_timeout  seconds since its beginning after which a flow that goes on is cut in two; likewise
        max_flows       flows in the table at a time, 1 to 2^28; one more ends the one that was quiet the longest
        seed            two 64-bit numbers that hashes depend on; None: random ones
        Raises UsageError for other values, LimitError when there is no memory.
        """
        if not isinstance(max_flows, int) or not 1 <= max_flows <= MOST_FLOWS:
            raise UsageError(f"a flow table holds 1 to {MOST_FLOWS} flows, not {max_flows}")
        options = ffi.new("struct pfq_flow_opts *")
        options.size = ffi.sizeof("struct pfq_flow_opts")
        options.idle_ns = _nanoseconds("idle", idle_timeout)
        options.active_ns = _nanoseconds("active", active_timeout)
        options.max_flows = max_flows
        numbers = ffi.NULL if seed is None else ffi.new("uint64_t[2]", list(seed))
        options.seed = numbers
        out = ffi.new("struct pfq_flow_table **")
        _check(lib.pfq_flow_table_new(out, options))
        self._table = ffi.gc(out[0], lib.pfq_flow_table_free)
        self._room = np.empty(BATCH_FLOWS, FLOW_DTYPE)
        self._pieces: list[Array] = []
        self._busy = Lock()  # held while libpfq works on the table
        self._closed = False

    def add(self, records: Records) -> None:
        """Counts packets for their flows. Flows that end meanwhile wait for `expired`."""
        self.add_decoded(records, decode(as_ethernet(records)))

    def add_decoded(self, records: Records, headers: Array) -> None:
        """The same for packets whose headers are decoded: one `HEADERS_DTYPE` for each record."""
        if headers.dtype != HEADERS_DTYPE or headers.shape != (len(records),) or not headers.flags.c_contiguous:
            raise TypeError("headers are a contiguous array with one HEADERS_DTYPE for each record")
        if self._closed:
            raise UsageError("this flow table is closed", hint="make another one")
        record = ffi.cast("struct pfq_record *", records.address)
        header = ffi.cast("struct pfq_headers *", int(headers.ctypes.data))
        count, done = len(records), 0
        ended = ffi.new("size_t *")
        with self._busy:
            while done < count:
                out, left = self._out(), count - done
                done += lib.pfq_flow_table_add(self._table, record + done, header + done, left, out, BATCH_FLOWS, ended)
                self._keep(ended[0])

    def expire(self, now_ns: int) -> None:
        """Ends the flows that are idle at a time, ns since 1970, although no packet has that time."""
        if self._closed:
            return
        count = BATCH_FLOWS
        with self._busy:
            while count == BATCH_FLOWS:
                count = lib.pfq_flow_table_expire(self._table, now_ns, self._out(), BATCH_FLOWS)
                self._keep(count)

    def expired(self) -> FlowBatch:
        """The flows that have ended since this was asked last."""
        pieces, self._pieces = self._pieces, []
        return joined(pieces)

    @property
    def waiting(self) -> bool:
        """Whether `expired` has any."""
        return bool(self._pieces)

    def drain(self) -> Iterator[FlowBatch]:
        """Ends all flows and gives those not asked for yet, some thousand at a time; then the table is closed."""
        self._closed = True
        if self._pieces:
            yield self.expired()
        while self._end_some():
            yield self.expired()

    def close(self) -> FlowBatch:
        """Ends all flows and gives those not asked for yet. Nothing can be added from now on."""
        return joined([batch.array for batch in self.drain()])

    def statistics(self) -> FlowStatistics:
        """The counts now."""
        stats = ffi.new("struct pfq_flow_stats *")
        lib.pfq_flow_table_stats(self._table, stats)
        added = stats.packets + stats.not_ip
        return FlowStatistics(
            packets=added,
            selected=added,
            in_flows=stats.packets,
            not_ip=stats.not_ip,
            flows=stats.flows,
            open=stats.open,
            evicted=stats.evicted,
        )

    def __len__(self) -> int:
        """Flows in the table now."""
        return self.statistics().open

    def _end_some(self) -> bool:
        """Ends as many flows as there is room for; False when there was none."""
        with self._busy:
            count = lib.pfq_flow_table_end(self._table, self._out(), BATCH_FLOWS)
            self._keep(count)
        return bool(count)

    def _out(self) -> Any:
        """Where libpfq writes the flows that end: room for `BATCH_FLOWS` of them."""
        return ffi.cast("struct pfq_flow *", int(self._room.ctypes.data))

    def _keep(self, count: int) -> None:
        """Keeps the flows that were written there; when they fill it, they stay and there is other room."""
        if count == BATCH_FLOWS:
            self._pieces.append(self._room)
            self._room = np.empty(BATCH_FLOWS, FLOW_DTYPE)
        elif count:
            self._pieces.append(self._room[:count].copy())


def _nanoseconds(what: str, seconds: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise UsageError(f"the {what} time-out is a number of seconds above 0, not {seconds!r}")
    nanoseconds = seconds * 1e9
    return ENDLESS_NS if nanoseconds >= ENDLESS_NS else max(1, round(nanoseconds))


def _check(code: int) -> None:
    if code == -errno.ENOMEM:
        raise LimitError("there is no memory for a flow table", hint="ask for fewer flows")
    if code:
        raise KernelRefusedError(f"cannot make a flow table: {os.strerror(-code)}")
