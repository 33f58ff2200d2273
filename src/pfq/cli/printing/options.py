"""The options that say how packets are shown; those of `pfq capture` and `pfq run` alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pfq.cli.decode import Style
    from pfq.cli.printing.dumps import Dump


def counter(flags: str, name: str, help: str) -> Callable[[Any], Any]:
    """An option without a value that may be given several times."""
    return click.option(flags, name, count=True, help=help)


# fmt: off
_OPTIONS = (
    click.option("-l", "line_buffered", is_flag=True, help="Flush standard output after every line."),
    click.option("--json", "as_json", is_flag=True,
                 help="Print a JSON object for each packet, and one with the counts."),
    counter("-n", "numeric", "Show numbers, not names (always so here)."),
    click.option("-e", "link", is_flag=True, help="Show the link-level header."),
    counter("-q", "quiet", "Show less of TCP and UDP."),
    click.option("-S", "--absolute-tcp-sequence-numbers", "absolute", is_flag=True,
                 help="Show TCP sequence numbers as they are, not relative to the first."),
    counter("-t", "stamp", "No time; -tt seconds since 1970, -ttt since the line before, -tttt with date, "
            "-ttttt since the first line."),
    counter("-v", "verbose", "Show more of the headers, and check checksums; -vv, -vvv still more."),
    counter("-x", "hexadecimal", "Show the bytes in hexadecimal; -xx with the link-level header."),
    counter("-X", "hexadecimal_ascii", "The same with ASCII beside; -XX with the link-level header."),
    counter("-A", "ascii", "Show the bytes as ASCII; -AA with the link-level header."),
)
# fmt: on


def printing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, in the order in which they stand here."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What these options leave in a command's settings."""

    line_buffered: bool
    as_json: bool
    numeric: int
    link: bool
    quiet: int
    absolute: bool
    stamp: int
    verbose: int
    hexadecimal: int
    hexadecimal_ascii: int
    ascii: int


def look(settings: Shown) -> tuple[Style, Dump | None]:
    """How lines are written, and the dump below each."""
    from pfq.cli.decode import Style
    from pfq.cli.printing.dumps import dumps

    dump = dumps(settings.hexadecimal, settings.hexadecimal_ascii, settings.ascii)
    style = Style(
        link=settings.link,
        quiet=bool(settings.quiet),
        verbose=settings.verbose,
        absolute=settings.absolute,
        dump=not settings.quiet and dump is None,
    )
    return style, dump
