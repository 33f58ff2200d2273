"""The options that say what files are written; those of `pfq capture` and `pfq run` alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.files.writing import Rotation

_UNITS = {"": 1_000_000, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def file_size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes of a size as newer versions of tcpdump read it: millions, or with k, m or g KiB, MiB or GiB."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]+)([kKmMgG]?)", value)
    size = int(found[1]) * _UNITS[found[2].lower()] if found else 0
    if not size:
        raise click.BadParameter(
            f"{value} is not a size: `10` is 10 million bytes, `10k` are 10 KiB", context, parameter
        )
    return size


# fmt: off
_OPTIONS = (
    click.option("--pcap", is_flag=True, help="With -w: write classic pcap, not pcapng."),
    click.option("-C", "file_size", metavar="SIZE", callback=file_size,
                 help="With -w: begin another file when one is larger than SIZE million bytes; with k, m or g "
                 "behind it KiB, MiB or GiB. A number follows the name."),
    click.option("-G", "file_seconds", type=click.IntRange(1), metavar="S",
                 help="With -w: begin another file every S seconds; the name is a pattern of strftime."),
    click.option("-W", "file_count", type=click.IntRange(1), metavar="N",
                 help="With -C: overwrite the first of N files after the last. With -G alone: stop after N files."),
)
# fmt: on


def rotation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, in the order in which they stand here."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Written(Protocol):
    """What these options, and -w, leave in a command's settings."""

    @property
    def output(self) -> str | None: ...
    @property
    def pcap(self) -> bool: ...
    @property
    def file_size(self) -> int | None: ...
    @property
    def file_seconds(self) -> int | None: ...
    @property
    def file_count(self) -> int | None: ...


def check_rotation(settings: Written) -> None:
    """Raises UsageError when the options do not make sense together, and warns of files that overwrite others."""
    given = {"--pcap": settings.pcap, "-C": settings.file_size, "-G": settings.file_seconds, "-W": settings.file_count}
    names = [name for name, value in given.items() if value]
    if names and settings.output is None:
        raise UsageError(f"{names[0]} says how files are written, but none is", hint="name one with -w")
    if names and names[-1] == "-W" and not {"-C", "-G"} & set(names):
        raise UsageError("-W is a number of files, but there is one only", hint="say with -C or -G when another begins")
    if settings.file_seconds and "%" not in str(settings.output):
        warning = f"warning: {settings.output} is the name of every file of -G: each overwrites the one before"
        click.echo(f"{warning}\n  hint: put a time into it, for example {settings.output}-%H%M%S", err=True)


def rotation_of(settings: Written) -> Rotation | None:
    """When files are closed; None when there is one only."""
    from pfq.files.writing import Rotation

    if settings.file_size is None and settings.file_seconds is None:
        return None
    return Rotation(settings.file_size, settings.file_seconds, settings.file_count)


def files_reached(settings: Written) -> str:
    """What to tell when -W ends the command."""
    return f"stopped: -W allows {settings.file_count} file{'s' if settings.file_count != 1 else ''}"
