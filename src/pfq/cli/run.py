"""`pfq run`: a program over capture files, with tcpdump's options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from pfq.cli.filters import read_filter
from pfq.cli.printing.options import Shown, printing_options
from pfq.cli.rotating import check_rotation, rotation_options
from pfq.cli.vlans import vlan_option
from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.files.decide import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Shown):
    """The command line, as it was given; the names are those of the options below and of those shared."""

    files: tuple[str, ...]
    program: str | None
    file: str | None
    endpoints: int
    output: str | None
    split: str | None
    pcap: bool
    file_size: int | None
    file_seconds: int | None
    file_count: int | None
    only_count: bool
    limit: int | None
    vlans: frozenset[int] | None
    jobs: int
    expression: tuple[str, ...]

    @property
    def prints(self) -> bool:
        """Whether packets are printed."""
        return self.output is None and self.split is None and not self.only_count


# fmt: off
@click.command()
@click.option("-r", "files", metavar="FILE", multiple=True,
              help="File to read, pcap or pcapng, also compressed; `-` is standard input. Can be repeated.")
@click.option("-P", "--program", "program", metavar="PROGRAM", help="Program that selects and steers the packets.")
@click.option("-F", "--file", "file", metavar="FILE.pfq", help="The same from a file.")
@click.option("-E", "--endpoints", "endpoints", type=int, default=1, metavar="N", show_default=True,
              help="End-points the program steers to; each line says which.")
@click.option("-c", "limit", type=click.IntRange(1), metavar="N", help="Stop after N selected packets.")
@click.option("-w", "output", metavar="OUT", help="Write the selected packets to a capture file; `-` is stdout.")
@click.option("--split", metavar="DIR", help="Write a file for each end-point into DIR: 0.pcapng, 1.pcapng ...")
@rotation_options
@click.option("--count", "only_count", is_flag=True, help="Print counts only.")
@printing_options
@vlan_option
@click.option("--jobs", type=click.IntRange(1), default=1, metavar="N", show_default=True,
              help="Work on N files at the same time. Their order stays, but what a program keeps from packet to "
              "packet (flows, limits, turns) begins anew in each file.")
@click.argument("expression", nargs=-1)
def command(**options: Any) -> int | None:
    """Print, count or write the packets of capture files that a program selects.

    Decides as `pfq capture` does in the kernel, and needs no privilege. Options have the letters and meanings of
    tcpdump where it has them. EXPRESSION is a filter as tcpdump takes it, for the packets that the program shall
    see. Several files are one stream in the order given; each needs its own -r. Ctrl-C ends and prints the counts,
    SIGUSR1 prints them in between.

    \b
    pfq run -r trace.pcapng tcp port 443
    pfq run -r trace.pcapng -P 'ip >-> steer_flow' -E 4 --split parts
    pfq run -r monday.pcap -r tuesday.pcap.zst --count udp port 53
    """
    settings = Settings(**options)
    check(settings)
    task = task_for(settings)
    from pfq.cli.running.follow import follow

    return follow(task, settings)


# fmt: on


def check(settings: Settings) -> None:
    """Raises UsageError when the command line does not make sense."""
    if not settings.files:
        hint = "give it with -r; `-` is standard input, and `pfq capture -i DEV` captures from a device"
        raise UsageError("which file?", hint=hint)
    if [*settings.files, settings.file].count("-") > 1:
        raise UsageError("standard input is read once only", hint="name files")
    if settings.output is not None and settings.split is not None:
        raise UsageError("-w writes one file and --split many", hint="give one of them")
    if settings.limit is not None and settings.jobs > 1:
        raise UsageError("-c counts packets in the order of the files", hint="leave out --jobs")
    check_rotation(replace(settings, output=settings.output if settings.split is None else settings.split))


def task_for(settings: Settings) -> Task:
    """What is asked of every packet."""
    from pfq.files.run import task_of

    program = None
    if settings.program is not None or settings.file is not None:
        from pfq.cli.program import read_program

        program = read_program(settings.file, settings.program)
    return task_of(program, settings.endpoints, read_filter(settings.expression), settings.vlans)
