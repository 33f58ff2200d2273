"""From packets to the output: what files and live captures have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from pfq.cli.flowing.counts import count_lines, count_record

if TYPE_CHECKING:
    from pfq.cli.flowing.outputs import FlowOutput
    from pfq.columns.records import Records
    from pfq.flow.statistics import FlowStatistics
    from pfq.flow.table import FlowTable


class FlowJob:
    """A table of flows and where they go when they have ended."""

    def __init__(
        self, table: FlowTable, output: FlowOutput, count: Callable[[], tuple[int, int]], as_json: bool
    ) -> None:
        """count: packets read and lost until now; as_json: the counts are the last record on standard output."""
        self._table, self._output, self._count, self._as_json = table, output, count, as_json

    def add(self, records: Records) -> None:
        """Puts packets in flows; those that end meanwhile go to the output."""
        self._table.add(records)
        self._write_ended()

    def expire(self, now_ns: int) -> None:
        """There are no packets, and it is later: flows may have ended, and what was written shall be seen."""
        self._table.expire(now_ns)
        self._write_ended()
        self._output.flush()

    def _write_ended(self) -> None:
        if self._table.waiting:
            self._output.write(self._table.expired())

    def statistics(self) -> FlowStatistics:
        packets, lost = self._count()
        return replace(self._table.statistics(), packets=packets, lost=lost)

    def report(self) -> None:
        """Shows the counts."""
        counts = self.statistics()
        sys.stdout.flush()  # flows come before the counts, even when both go to the same place
        if self._as_json:
            print(json.dumps(count_record(counts)), flush=True)
        else:
            print("\n".join(count_lines(counts)), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Ends all flows; whatever happens to the output, the counts are shown."""
        with ExitStack() as last:
            last.callback(self.report)
            last.callback(self._output.close)
            for batch in self._table.drain():
                self._output.write(batch)
