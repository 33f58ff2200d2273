"""The flows of capture files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pfq.cli.failure import INTERRUPTED_STATUS
from pfq.cli.progress import ProgressBar
from pfq.cli.running.orders import orders_by_signal

if TYPE_CHECKING:
    from pfq.cli.flowing.job import FlowJob
    from pfq.flow.sources import FileSource


def read_files(source: FileSource, job: FlowJob, bar: ProgressBar) -> int | None:
    """Puts all packets in flows; whatever happens, those that were read come out. Returns the exit status."""
    with orders_by_signal() as orders:
        try:
            for records in orders.among(source.runs()):
                job.add(records)
                bar(source.position, source.packets)
                if orders.report:
                    orders.report = False
                    job.report()
                if orders.stop:
                    break
        finally:
            bar.close()
            for warning in source.warnings:
                print(f"warning: {warning}", file=sys.stderr)
            job.end()
    return INTERRUPTED_STATUS if orders.stop else None
