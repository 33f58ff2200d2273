"""`pfq compile`, and `pfq-lang`: the same under the name and with the options of the original's compiler."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import pfq
from pfq.cli import Reporting
from pfq.cli.program import HERE, STANDARD_INPUT, file_argument, read_program, text_option
from pfq.codegen import FORMS, Form
from pfq.codegen import emit as emit_form
from pfq.errors import FileAccessError, UsageError
from pfq.source import Source

if TYPE_CHECKING:
    from pfq.lang.program import Program

output_option = click.option("-o", "--output", metavar="OUT", help="Write to the file OUT instead of standard output.")
import_option = click.option(
    "--import", "imports", metavar="MODULE", multiple=True, help="Import MODULE too; can be repeated."
)


@click.command()
@file_argument
@text_option
@click.option("--emit", type=click.Choice(FORMS), help="Which form.  [default: core]")
@click.option("--json", "as_json", is_flag=True, help="The same as --emit json.")
@import_option
@output_option
def command(
    file: str | None, text: str | None, emit: Form | None, as_json: bool, imports: tuple[str, ...], output: str | None
) -> None:
    """Show what the program in FILE is compiled to; without FILE, or if it is `-`, from standard input.

    \b
    core   the program with names and constants evaluated away
    llvm   LLVM's intermediate representation, optimised
    bpf    relocatable BPF object (ELF)
    asm    assembly of it
    json   the JSON form that other languages speak
    """
    if as_json and emit not in (None, "json"):
        raise UsageError(f"--json and --emit {emit} exclude each other")
    form: Form = "json" if as_json else emit or "core"
    if form == "bpf" and output is None and sys.stdout.isatty():
        raise UsageError("an object file is not for a terminal", hint="name a file with -o, or pipe it somewhere")
    program = read_program(file or (None if text is not None else "-"), text, imports)
    write(emit_form(program, form), output)


def write(result: str | bytes, output: str | None) -> None:
    data = result.encode() + b"\n" * (not result.endswith("\n")) if isinstance(result, str) else result
    if output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise FileAccessError(f"cannot write {output}: {error.strerror}", hint="name another file with -o") from error


def show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"pfq-lang {pfq.__version__}, Python {platform.python_version()}")
        context.exit()


def refused(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """An option of the original whose task is done elsewhere here."""
    if value not in (None, False):
        message, hint = ELSEWHERE[str(parameter.name)]
        raise UsageError(message, hint=hint)


ELSEWHERE = {
    "fdescr": (
        "there are no descriptors in Haskell's notation",
        "--json has the same, and `pfq compile` shows the other forms",
    ),
    "gid": (
        "a program is not loaded into a group from here: the groups of PFQ belong to the process that made them",
        "`pfq capture -i DEV -F FILE` runs it; loading it into the group of another process comes with the daemon",
    ),
}


# fmt: off
@click.command(cls=Reporting, context_settings={"help_option_names": ["-?", "--help"]})
@click.argument("file", required=False)
@output_option
@import_option
@click.option("--json", "as_json", is_flag=True, help="Write the JSON form of the program.")
@click.option("--fdescr", is_flag=True, callback=refused, expose_value=False, help="Not here; --json has the same.")
@click.option("--gid", metavar="N", callback=refused, expose_value=False, help="Not here; see `pfq capture --help`.")
@click.option("--verbosity", type=click.IntRange(0, 3), default=0, metavar="N",
              help="Say on standard error, from 1: what was imported from where; from 2: the program.")
@click.option("-V", "--version", "--ver", is_flag=True, callback=show_version, expose_value=False, is_eager=True,
              help="Print the versions and exit.")
def tool(file: str | None, output: str | None, imports: tuple[str, ...], as_json: bool, verbosity: int) -> None:
    """Check the program in FILE, or from standard input, and with --json write it for other languages.

    This is `pfq compile` with the options of the original PFQ's compiler, for programs that call it.
    """
    program = read_program(file or "-", None, imports)
    if verbosity >= 1:
        tell_imports(program, file, imports)
    if verbosity >= 2:
        print(f"program: {program}", file=sys.stderr)
    write(emit_form(program, "json") if as_json else b"", output)


# fmt: on


def tell_imports(program: Program, file: str | None, imports: tuple[str, ...]) -> None:
    from pfq.lang.faults import Faults
    from pfq.lang.modules import LIBRARY, Loader, imports_of

    loader = Loader(Faults())
    folder = Path(HERE if file in (None, "-") else file).parent
    source = Source(file or STANDARD_INPUT, program.source)
    main = loader.load(source, None, folder, imports_of(imports, loader.faults))
    print("imports:", *(found.module for found in main.file.imports), file=sys.stderr)
    print("search path:", folder, LIBRARY, file=sys.stderr)
    print("loaded:", *(module.source.name for module in loader.modules), file=sys.stderr)


def main() -> None:
    """Entry point of the script `pfq-lang`."""
    tool.main(prog_name="pfq-lang")
