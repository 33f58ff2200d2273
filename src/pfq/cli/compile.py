"""`pfq compile`."""

from __future__ import annotations

import sys

import click

from pfq.cli.program import file_argument, read_program, text_option
from pfq.codegen import FORMS, Form
from pfq.codegen import emit as emit_form
from pfq.errors import FileAccessError, UsageError


@click.command()
@file_argument
@text_option
@click.option("--emit", type=click.Choice(FORMS), default="core", show_default=True, help="Which form.")
@click.option("-o", "output", metavar="OUT", help="Write to OUT instead of standard output.")
def command(file: str | None, text: str | None, emit: Form, output: str | None) -> None:
    """Show what the program in FILE (`-`: standard input) is compiled to.

    \b
    core   the program with names and constants evaluated away
    llvm   LLVM's intermediate representation, optimised
    bpf    relocatable BPF object (ELF)
    asm    assembly of it
    json   the JSON form that other languages speak
    """
    result = emit_form(read_program(file, text), emit)
    data = result.encode() + b"\n" * (not result.endswith("\n")) if isinstance(result, str) else result
    if output:
        write_file(output, data)
    elif emit == "bpf" and sys.stdout.isatty():
        raise UsageError("an object file is not for a terminal", hint="name a file with -o, or pipe it somewhere")
    else:
        sys.stdout.buffer.write(data)


def write_file(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as out:
            out.write(data)
    except OSError as error:
        raise FileAccessError(f"cannot write {path}: {error.strerror}", hint="name another file with -o") from error
