"""The flows of a live capture."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pfq.cli.decode import Decoder, Style
from pfq.cli.flowing.job import FlowJob
from pfq.cli.printing.events import EventLines
from pfq.cli.printing.sinks import Round, Sink
from pfq.cli.printing.stamps import stamps
from pfq.cli.session import Limits, Session, orders_by_signal
from pfq.flow.reading import BEHIND_NS

if TYPE_CHECKING:
    from pfq.cli.flowing.outputs import FlowOutput
    from pfq.engine.capture import Capture
    from pfq.engine.statistics import CaptureStatistics
    from pfq.flow.table import FlowTable


class FlowSink(Sink):
    """Takes the packets of a capture to a table of flows."""

    at_a_time = 4096

    def __init__(self, table: FlowTable, output: FlowOutput, capture: Capture, as_json: bool) -> None:
        self.job = FlowJob(table, output, lambda: (self.packets, capture.statistics().lost), as_json)

    def take(self, batches: Round) -> None:
        for _, batch in batches:
            self.job.add(batch._packets())
            self.packets += len(batch)

    def pause(self) -> None:
        self.job.expire(time.time_ns() - BEHIND_NS)

    def close(self, statistics: CaptureStatistics) -> None:
        self.job.end()


def follow_flows(capture: Capture, sink: FlowSink, duration: float | None) -> None:
    """Captures until told to stop; whatever happens, all flows come out and the counts are shown."""
    print(f"listening on {capture.device.name}\n{capture.attachment}", file=sys.stderr, flush=True)
    tell = EventLines(capture, Decoder(Style()), stamps(0), sys.stderr)
    try:
        with orders_by_signal() as orders:
            Session(capture, sink, Limits(duration=duration), tell, sink.job.report).run(orders)
    finally:
        capture.stop()
        tell()
        sink.close(capture.statistics())
