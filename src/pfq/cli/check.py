"""`pfq check`."""

from __future__ import annotations

import click

from pfq.cli.output import json_option, print_json
from pfq.cli.program import file_argument, read_program, text_option


@click.command()
@file_argument
@text_option
@json_option
def command(file: str | None, text: str | None, as_json: bool) -> None:
    """Check the program in FILE (`-`: standard input) and report all its errors.

    A correct program is printed in its core form, which is what runs.
    """
    from pfq.lang.show import show

    core = show(read_program(file, text))
    if as_json:
        print_json({"correct": True, "core": core})
    else:
        print(core)
