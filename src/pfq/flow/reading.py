"""`pfq.flows`: the flows of capture files or of a live capture."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from pfq.columns import capsules
from pfq.errors import PfqError, UsageError
from pfq.files.batch import Source, sources
from pfq.flow.batch import FlowBatch, joined
from pfq.flow.sources import FileSource, LiveSource
from pfq.flow.statistics import FlowStatistics
from pfq.flow.table import ACTIVE_TIMEOUT, IDLE_TIMEOUT, MAX_FLOWS, FlowTable

if TYPE_CHECKING:
    from pfq.ring.reader import Reader

BEHIND_NS: Final = 1_000_000_000
"""By so much the clock of a live capture without packets is put back: packets may still be on their way."""


def flows(
    source: Source | Iterable[Source] | Reader | Iterable[Reader],
    *,
    program: Any = None,
    filter: Any = None,
    vlans: Iterable[int] | None = None,
    idle_timeout: float = IDLE_TIMEOUT,
    active_timeout: float = ACTIVE_TIMEOUT,
    max_flows: int = MAX_FLOWS,
) -> Flows:
    """The flows of all packets of a source.

        for batch in pfq.flows("x.pcapng"):
            print(batch.packets.sum())

    source          one or several capture files; or a live capture, that is its readers, or one of them: then the
                    flows come as they end, until the capture is stopped
    program         selects packets of files, as for `pfq.run`; None takes all
    filter, vlans   likewise; a live capture has its own
    idle_timeout    seconds without a packet after which a flow ends
    active_timeout  seconds since its beginning after which a flow that goes on is cut in two
    max_flows       flows that are remembered at a time; one more ends the one that was quiet the longest

    Raises UsageError for values that make no sense, and what `pfq.run` raises for programs and files. An error in
    the middle of a source is raised once all flows of the packets before it have come.
    """
    table = FlowTable(idle_timeout=idle_timeout, active_timeout=active_timeout, max_flows=max_flows)
    from pfq.ring.reader import Reader

    # A reader can be iterated over too, but that would read packets.
    parts: tuple[Any, ...] = (source,) if isinstance(source, Reader) else sources(source)  # type: ignore[arg-type]
    readers = [part for part in parts if isinstance(part, Reader)]
    if not readers:
        return Flows(FileSource(parts, program, filter, vlans), table)
    if program is not None or filter is not None or vlans is not None:
        raise UsageError(
            "a live capture has selected its packets already",
            hint="give program, filter and VLANs to `pfq.capture`",
        )
    if len(readers) != len(parts):
        raise UsageError("flows come from files or from a live capture, not from both")
    return Flows(LiveSource(readers), table)


class Flows:
    """Flows in the order in which they end, in batches; they are read once."""

    def __init__(self, source: FileSource | LiveSource, table: FlowTable) -> None:
        self._source, self._table = source, table
        self._batches = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FlowBatch:
        return next(self._batches)

    def all(self) -> FlowBatch:
        """All flows that were not read yet as one batch."""
        return joined([batch.array for batch in self])

    def statistics(self) -> FlowStatistics:
        """The counts until now."""
        return replace(self._table.statistics(), packets=self._source.packets, lost=self._source.lost)

    def __arrow_c_schema__(self) -> object:
        return joined([]).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """All flows that were not read yet, batch by batch: `polars.DataFrame(pfq.flows("x.pcapng"))`."""
        return capsules.stream(joined([]).to_arrow(), (batch.to_arrow() for batch in self))

    def close(self) -> None:
        """Closes the files; no more flows come."""
        self._batches.close()

    def _read(self) -> Generator[FlowBatch, None, None]:
        failure: PfqError | None = None
        try:
            for records in self._source.runs():
                if records is None:
                    self._table.expire(time.time_ns() - BEHIND_NS)
                else:
                    self._table.add(records)
                if self._table.waiting:
                    yield self._table.expired()
        except PfqError as error:
            failure = error
        yield from self._table.drain()
        if failure is not None:
            raise failure
