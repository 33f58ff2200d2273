"""Where a command gets its program from: a file, standard input or the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pfq.errors import FileAccessError, UsageError

if TYPE_CHECKING:
    from pfq.lang.program import Program

file_argument = click.argument("file", required=False)
text_option = click.option("-P", "text", metavar="PROGRAM", help="The program itself, instead of a file.")

COMMAND_LINE, STANDARD_INPUT = "<-P>", "<stdin>"
HERE = "."
"""where modules that such a program imports are looked for"""


def read_program(file: str | None, text: str | None, imports: Sequence[str] = ()) -> Program:
    """Compiles the file (`-` is standard input) or the text; exactly one of them is given.

    imports  modules that the program imports beyond those that it names itself
    """
    from pfq.lang.compile import compile_file, compile_text

    if (file is None) == (text is None):
        raise UsageError(
            "give a file or a program, one of them", hint="edge.pfq, for example, or -P 'ip >-> steer_flow'"
        )
    if text is not None:
        return compile_text(text, COMMAND_LINE, folder=HERE, imports=imports)
    if file == "-":
        return compile_text(standard_input(), STANDARD_INPUT, folder=HERE, imports=imports)
    assert file is not None
    return compile_file(file, imports=imports)


def standard_input() -> str:
    """The program that comes there."""
    from pfq.lang.modules import source_of

    if sys.stdin is None:
        raise FileAccessError("standard input is closed", hint="name a file")
    if sys.stdin.isatty():
        print("reading the program from standard input; Ctrl-D ends it", file=sys.stderr)
    return source_of(sys.stdin.buffer, STANDARD_INPUT).text
