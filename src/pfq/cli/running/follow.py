"""What `pfq run` does with its files."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

from pfq.cli.failure import INTERRUPTED_STATUS
from pfq.cli.printing.events import EventLines, EventRecords, Tell
from pfq.cli.printing.options import look
from pfq.cli.printing.stamps import stamps
from pfq.cli.progress import ProgressBar
from pfq.cli.rotating import files_reached, rotation_of
from pfq.cli.running.counts import count_lines, count_record
from pfq.cli.running.orders import Orders, orders_by_signal
from pfq.cli.running.outputs import FileOutput, Nowhere, Output, SplitOutput, refuse_overwriting, split_paths
from pfq.files.pipeline import Keep, Pipeline

if TYPE_CHECKING:
    from pfq.cli.run import Settings
    from pfq.files.decide import Task
    from pfq.files.writing import PacketWriter


def follow(task: Task, settings: Settings) -> int | None:
    """Decides all packets; whatever happens, files are ended and the counts are shown. Returns the exit status."""
    counts_only = settings.only_count and settings.output is None and settings.split is None
    keep = Keep.NONE if counts_only else Keep.SELECTED
    pipeline = Pipeline(task, settings.files, settings.jobs, keep, settings.limit)
    output = make_output(pipeline, settings)
    to_stdout = settings.output != "-" and (settings.as_json or settings.only_count)
    result = sys.stdout if to_stdout else sys.stderr
    tell = make_tell(pipeline, settings)
    what = settings.files[0] if len(settings.files) == 1 else f"{len(settings.files)} files"
    bar = ProgressBar(what, pipeline.size, wants_bar(pipeline, settings))

    def report() -> None:
        write_counts(None if counts_only else output.packets, pipeline, settings, result)

    with orders_by_signal() as orders, ExitStack() as last:
        last.callback(report)
        last.callback(output.close)
        last.callback(tell)
        last.callback(pipeline.close)
        last.callback(bar.close)
        announce(settings)
        process(pipeline, output, orders, tell, report, bar)
        if output.full:
            print(files_reached(settings), file=sys.stderr)
    return INTERRUPTED_STATUS if orders.stop else None


def process(
    pipeline: Pipeline, output: Output, orders: Orders, tell: Tell, report: Callable[[], None], bar: ProgressBar
) -> None:
    """Until everything is decided, the output is full, or the order to stop comes."""
    for decided in orders.among(pipeline.decided()):
        tell()
        if decided is not None:
            output.take(decided)
        if bar.wanted:
            bar(pipeline.position, pipeline.arrived)
        if orders.report:
            orders.report = False
            report()
        if orders.stop or output.full:
            return


def make_output(pipeline: Pipeline, settings: Settings) -> Output:
    """Raises UsageError when it would destroy what is read."""
    if settings.output is not None:
        refuse_overwriting(settings.files, [settings.output], rotation_of(settings) is not None)
        return FileOutput(make_writer(settings.output, pipeline, settings))
    if settings.split is not None:
        suffix = "pcap" if settings.pcap else "pcapng"
        paths = split_paths(settings.split, settings.endpoints, suffix)
        refuse_overwriting(settings.files, paths, rotation_of(settings) is not None)
        return SplitOutput([make_writer(path, pipeline, settings) for path in paths])
    if settings.only_count:
        return Nowhere()
    from pfq.cli.decode import Decoder
    from pfq.cli.running.lines import LineOutput, RecordOutput

    style, dump = look(settings)
    if settings.as_json:
        return RecordOutput(Decoder(style), settings.line_buffered)
    stamp = stamps(settings.stamp)
    return LineOutput(Decoder(style), stamp, dump, settings.endpoints > 1, settings.line_buffered)


def make_writer(path: str, pipeline: Pipeline, settings: Settings) -> PacketWriter:
    from pfq.files.writing import open_writer

    return open_writer(path, pcap=settings.pcap, rotation=rotation_of(settings), comment=pipeline.comment)


def make_tell(pipeline: Pipeline, settings: Settings) -> Tell:
    if not pipeline.tells:
        return lambda: None
    if settings.as_json:
        return EventRecords(pipeline, sys.stderr if settings.output == "-" else sys.stdout)
    from pfq.cli.decode import Decoder, Style

    return EventLines(pipeline, Decoder(Style()), stamps(settings.stamp), sys.stderr)


def wants_bar(pipeline: Pipeline, settings: Settings) -> bool:
    """Not beside lines, which a terminal or a pager may show, and not beside what the program tells."""
    if pipeline.tells or not sys.stderr.isatty():
        return False
    return not settings.prints or stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)


def announce(settings: Settings) -> None:
    """The first of the JSON records."""
    if settings.as_json and settings.prints:
        start = {
            "type": "start",
            "files": list(settings.files),
            "program": settings.program or settings.file or "unit",
            "filter": " ".join(settings.expression) or None,
            "endpoints": settings.endpoints,
        }
        print(json.dumps(start))


def write_counts(taken: int | None, pipeline: Pipeline, settings: Settings, result: TextIO) -> None:
    """The counts, and before them what was noticed."""
    statistics, warnings = pipeline.statistics(), pipeline.warnings()
    if settings.as_json:
        text = json.dumps(count_record(taken, statistics, settings.files, warnings))
    else:
        text = "\n".join(count_lines(taken, statistics))
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
    sys.stdout.flush()  # lines come before the counts, even when both go to the same place
    print(text, file=result, flush=True)
