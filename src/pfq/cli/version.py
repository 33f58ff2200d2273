"""`pfq version`."""

from __future__ import annotations

import platform

import click

import pfq
from pfq.cli.output import json_option, print_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the versions of PFQ, Python and the kernel."""
    found = {"pfq": pfq.__version__, "python": platform.python_version(), "kernel": platform.release()}
    if as_json:
        print_json(found)
    else:
        print("\n".join(f"{name} {number}" for name, number in found.items()))
