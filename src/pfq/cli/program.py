"""Where a command gets its program from: a file, standard input or the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.lang.program import Program

file_argument = click.argument("file", required=False)
text_option = click.option("-P", "text", metavar="PROGRAM", help="The program itself, instead of a file.")

COMMAND_LINE, STANDARD_INPUT = "<-P>", "<stdin>"


def read_program(file: str | None, text: str | None) -> Program:
    """Compiles the file (`-` is standard input) or the text; exactly one of them is given."""
    from pfq.lang.compile import compile_file, compile_text

    if (file is None) == (text is None):
        raise UsageError(
            "give a file or a program, one of them", hint="edge.pfq, for example, or -P 'ip >-> steer_flow'"
        )
    if text is not None:
        return compile_text(text, COMMAND_LINE)
    if file == "-":
        return compile_text(sys.stdin.read(), STANDARD_INPUT)
    assert file is not None
    return compile_file(file)
