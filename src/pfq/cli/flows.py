"""`pfq flows`: the flows of capture files or of a device."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from pfq.cli.vlans import vlan_option
from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.flow.table import FlowTable
    from pfq.lang.berkeley import BerkeleyFilter
    from pfq.lang.program import Program

SNAPLEN = 512
"""Bytes of a frame that headers are looked for in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The command line, as it was given; the names are those of the options below."""

    files: tuple[str, ...]
    device: str | None
    program: str | None
    file: str | None
    vlans: frozenset[int] | None
    idle: float
    active: float
    max_flows: int
    output: str | None
    form: str | None
    as_json: bool
    top: int | None
    duration: float | None
    modest: bool
    direction: Literal["in", "out", "inout"]
    expression: tuple[str, ...]

    def compiled(self) -> Program | None:
        """The program, when there is one."""
        if self.program is None and self.file is None:
            return None
        from pfq.cli.program import read_program

        return read_program(self.file, self.program)

    def filter(self) -> BerkeleyFilter | None:
        """The words behind the options, compiled."""
        from pfq.cli.filters import read_filter

        return read_filter(self.expression)

    def table(self) -> FlowTable:
        from pfq.flow.table import FlowTable

        return FlowTable(idle_timeout=self.idle, active_timeout=self.active, max_flows=self.max_flows)


def seconds(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuses `nan`, which is a floating-point number too."""
    if value is not None and math.isnan(value):
        raise click.BadParameter(f"{value} is not a number of seconds", context, parameter)
    return value


POSITIVE = click.FloatRange(0, min_open=True)


# fmt: off
@click.command()
@click.option("-r", "files", metavar="FILE", multiple=True,
              help="Read a capture file; can be repeated; `-` is standard input.")
@click.option("-i", "--interface", "device", metavar="DEV", help="Or capture from a device; flows come as they end.")
@click.option("-P", "--program", "program", metavar="PROGRAM", help="Only the packets that a program selects.")
@click.option("-F", "--file", "file", metavar="FILE.pfq", help="The same from a file.")
@vlan_option
@click.option("--idle", type=POSITIVE, callback=seconds, default=120.0, show_default=True, metavar="S",
              help="A flow ends when it had no packet for S seconds.")
@click.option("--active", type=POSITIVE, callback=seconds, default=1800.0, show_default=True, metavar="S",
              help="A flow is cut in two S seconds after its beginning.")
@click.option("--max-flows", type=click.IntRange(1, 1 << 28), default=1_000_000, show_default=True, metavar="N",
              help="Remember so many flows at a time; one more ends the one that was quiet the longest.")
@click.option("-w", "output", metavar="FILE", help="Write the flows to FILE; its name says how, unless --format does.")
@click.option("--format", "form", type=click.Choice(("table", "csv", "json", "parquet")),
              help="How flows are written; `table` unless the file's name says something else.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the N flows with the most bytes.")
@click.option("--duration", type=POSITIVE, callback=seconds, metavar="S", help="With -i: stop after S seconds.")
@click.option("-p", "--no-promiscuous-mode", "modest", is_flag=True, help="With -i: only frames for this machine.")
@click.option("-Q", "--direction", "direction", type=click.Choice(("in", "out", "inout")), default="inout",
              show_default=True, help="With -i: incoming packets, outgoing, or both.")
@click.argument("expression", nargs=-1)
def command(**options: Any) -> int | None:
    """Print or save flows: who talked to whom, from when to when, how much each way.

    The flows of files are a table, those with the most bytes first; those of a device are printed as
    they end. The words behind the options are a Berkeley filter. Ctrl-C ends; what was read until then
    comes out.

    \b
    pfq flows -r trace.pcapng --top 10
    pfq flows -r trace.pcapng -w flows.parquet 'tcp port 443'
    pfq flows -i eth0 --idle 15
    """
    settings = Settings(**options)
    if bool(settings.files) == (settings.device is not None):
        raise UsageError("read files, or capture from a device, one of them", hint="-r trace.pcapng, or -i eth0")
    if [*settings.files, settings.file].count("-") > 1:
        raise UsageError("standard input is read once only", hint="name files")
    if settings.device is None:
        return read_flows(settings)
    capture_flows(settings, settings.device)
    return None


# fmt: on


def read_flows(settings: Settings) -> int | None:
    """The flows of files. Returns the exit status."""
    from pfq.cli.flowing.job import FlowJob
    from pfq.cli.flowing.offline import read_files
    from pfq.cli.flowing.outputs import format_of, open_output
    from pfq.cli.progress import ProgressBar
    from pfq.cli.running.outputs import refuse_overwriting
    from pfq.flow.sources import FileSource

    if settings.duration is not None:
        raise UsageError("--duration is for live captures", hint="leave it out")
    table = settings.table()
    source = FileSource(settings.files, settings.compiled(), settings.filter(), settings.vlans)
    form = format_of(settings.form, settings.output, settings.as_json)
    refuse_overwriting(settings.files, [settings.output] if settings.output else [], rotating=False)
    output = open_output(form, settings.output, top=settings.top, live=False)
    job = FlowJob(table, output, lambda: (source.packets, 0), is_record(form, settings))
    beside_lines = form != "table" and settings.output in (None, "-") and sys.stdout.isatty()
    return read_files(source, job, ProgressBar(settings.files[0], source.size, not beside_lines))


def capture_flows(settings: Settings, device: str) -> None:
    """The flows of a device."""
    import pfq
    from pfq.cli.flowing.live import FlowSink, follow_flows
    from pfq.cli.flowing.outputs import format_of, open_output

    program, table = settings.compiled(), settings.table()
    form = format_of(settings.form, settings.output, settings.as_json)
    with pfq.capture(
        device,
        program,
        filter=settings.filter(),
        vlans=settings.vlans,
        snaplen=SNAPLEN,
        direction=settings.direction,
        promiscuous=not settings.modest,
    ) as capture:
        output = open_output(form, settings.output, top=settings.top, live=True)
        follow_flows(capture, FlowSink(table, output, capture, is_record(form, settings)), settings.duration)


def is_record(form: str, settings: Settings) -> bool:
    """Whether the counts go where the flows go, as a record."""
    return form == "json" and settings.output in (None, "-")
