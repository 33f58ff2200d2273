"""What `pfq capture` does once the program is attached."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TextIO

from pfq.cli.decode import Decoder, Style
from pfq.cli.printing.closing import closing_lines, closing_record
from pfq.cli.printing.events import EventLines, EventRecords, Tell
from pfq.cli.printing.options import look
from pfq.cli.printing.sinks import FileSink, LineSink, RecordSink, Sink
from pfq.cli.printing.stamps import stamps
from pfq.cli.rotating import files_reached, rotation_of
from pfq.cli.session import Limits, Session, orders_by_signal
from pfq.files.writing import live_interface, open_writer

if TYPE_CHECKING:
    from pfq.cli.capture import Settings
    from pfq.client.capture import GroupCapture
    from pfq.engine.capture import Capture

    AnyCapture = Capture | GroupCapture

LINK_TYPE = "EN10MB (Ethernet)"


def follow(capture: AnyCapture, settings: Settings) -> None:
    """Captures until told to stop; whatever happens, the counts are shown."""
    talk = sys.stdout if settings.as_json and settings.output != "-" else sys.stderr
    sink = make_sink(capture, settings)
    announce(capture, settings, talk)

    def report() -> None:
        write_counts(sink.packets, capture, settings.as_json, talk)

    tell = make_tell(capture, settings, talk)
    session = Session(capture, sink, Limits(settings.count, settings.duration), tell, report)
    try:
        with orders_by_signal() as orders:
            session.run(orders)
            if sink.full:
                print(files_reached(settings), file=sys.stderr)
    finally:
        capture.stop()
        with ExitStack() as last:
            last.callback(report)
            last.callback(lambda: sink.close(capture.statistics()))
            tell()


def make_sink(capture: AnyCapture, settings: Settings) -> Sink:
    if settings.output is not None:
        interfaces = [live_interface(capture.device.name, capture.snaplen)]
        rotation, counts = rotation_of(settings), capture.statistics
        return FileSink(open_writer(settings.output, interfaces, pcap=settings.pcap, rotation=rotation, losses=counts))
    style, dump = look(settings)
    if settings.as_json:
        return RecordSink(Decoder(style), settings.line_buffered)
    stamp = stamps(1 if settings.clock == "none" else settings.stamp)
    return LineSink(Decoder(style), stamp, dump, settings.endpoints > 1, settings.line_buffered)


def make_tell(capture: AnyCapture, settings: Settings, talk: TextIO) -> Tell:
    if settings.as_json:
        return EventRecords(capture, talk)
    return EventLines(capture, Decoder(Style()), stamps(settings.stamp), talk)


def announce(capture: AnyCapture, settings: Settings, talk: Any) -> None:
    """Says what is captured, and where in the kernel."""
    if settings.as_json:
        start = {
            "type": "start",
            "device": capture.device.name,
            "program": settings.program_text(),
            "endpoints": len(capture),
            "snaplen": capture.snaplen,
            "attachment": capture.attachment,
        }
        print(json.dumps(start), file=talk, flush=True)
        return
    of = f", {len(capture)} end-points" if len(capture) > 1 else ""
    print(
        f"listening on {capture.device.name}, link-type {LINK_TYPE}, snapshot length {capture.snaplen} bytes\n"
        f"{capture.attachment}{of}",
        file=talk,
        flush=True,
    )


def write_counts(captured: int, capture: AnyCapture, as_json: bool, talk: Any) -> None:
    statistics = capture.statistics()
    if as_json:
        text = json.dumps(closing_record(captured, statistics, capture.events_missed()))
    else:
        text = "\n".join(closing_lines(captured, statistics, capture.events_missed()))
    print(text, file=talk, flush=True)
