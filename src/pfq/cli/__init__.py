"""The command line `pfq`: a group of commands, each in a module that is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

import pfq
from pfq.cli import failure
from pfq.errors import OutputError, UsageError
from pfq.source import did_you_mean

COMMANDS = {
    "capture": ("pfq.cli.capture:command", "Print or save the packets that a program selects on a device."),
    "run": ("pfq.cli.run:command", "Print, count or write the packets of capture files that a program selects."),
    "flows": ("pfq.cli.flows:command", "Print or save the flows of capture files or of a device."),
    "groups": ("pfq.cli.groups:command", "List the groups of the daemon pfqd."),
    "endpoints": ("pfq.cli.endpoints:command", "List the end-points of the daemon, and whose they are."),
    "counters": ("pfq.cli.counters:command", "Show what the programs of the daemon's groups count."),
    "stats": ("pfq.cli.stats:command", "Show where the packets of the daemon's groups and end-points are."),
    "check": ("pfq.cli.check:command", "Check a program and report all its errors."),
    "compile": ("pfq.cli.compile:command", "Show what a program is compiled to."),
    "explain": ("pfq.cli.explain:command", "Explain a program, a primitive or an error."),
    "functions": ("pfq.cli.functions:command", "List the primitives of the language."),
    "probe": ("pfq.cli.probe:command", "Show what this kernel and these devices can do."),
    "demo": ("pfq.cli.demo:demo", "Capture a replayed trace and check that every flow arrives whole."),
    "version": ("pfq.cli.version:command", "Print the versions of PFQ, Python and the kernel."),
}
"""Name, where its command is, and its line in `pfq --help`."""


class Reporting(click.Command):
    """A command that reports every error in one form."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads our output has seen enough
            failure.forget_stdout()
            return 0
        return result

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            if sys.stdout is None:
                raise OutputError("standard output is closed", hint="send it to a file, or to /dev/null")
            if isinstance(sys.stdout, TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # names and texts may have any character
            status = super().main(arguments, *rest, **extra)
        except Exception as error:
            status = failure.report(error, as_json=self.wants_json(arguments))
        sys.exit(status if isinstance(status, int) else 0)

    def wants_json(self, arguments: Sequence[str]) -> bool:
        """Whether errors are JSON."""
        return False


class Commands(Reporting, click.Group):
    """A group that imports a command's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            near = did_you_mean(args[0], COMMANDS) or "the commands are " + ", ".join(COMMANDS)
            raise UsageError(f"there is no command `{args[0]}`", hint=near)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def wants_json(self, arguments: Sequence[str]) -> bool:
        """As the output is; for `capture` and `run`, as for tcpdump, -j is something else."""
        return "--json" in arguments or ("-j" in arguments and arguments[0] not in ("capture", "run"))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pfq.__version__, message="%(prog)s %(version)s")
def commands() -> None:
    """Capture, steer and filter packets with programs in a small functional language.

    Exit status: 0 done, 1 wrong use or wrong program, 2 the kernel refused, 3 not possible on this
    machine, 70 a fault of pfq itself, 130 interrupted. The variable NO_COLOR turns colours off.
    """


def main() -> None:
    """Entry point of the script `pfq`."""
    commands.main(prog_name="pfq")
