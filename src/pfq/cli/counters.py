"""`pfq counters`: what the programs of groups count."""

from __future__ import annotations

from typing import Any

import click

from pfq.cli.connecting import listed, socket_option
from pfq.cli.output import json_option, print_json, print_table
from pfq.errors import UsageError


@click.command()
@click.argument("group", type=int, required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="Those that are 0, too.")
@socket_option
@json_option
def command(group: int | None, everything: bool, socket: str | None, as_json: bool) -> None:
    """Show the counters that programs of pfqd's groups write (`inc`, `dec`), of GROUP or of all.

    Each group has 64 of 64 bits. Only those that are not 0 are shown; with -j all are.
    """
    found = counters(listed(socket)["groups"], group)
    if as_json:
        print_json([{"group": number, "counters": values} for number, values in found])
        return
    rows = [
        [str(number), str(at), str(value)]
        for number, values in found
        for at, value in enumerate(values)
        if value or everything
    ]
    print_table("counters", ("group", "counter", "value"), rows)


def counters(groups: list[dict[str, Any]], wanted: int | None) -> list[tuple[int, list[int]]]:
    """The counters of one group or of all that tell theirs; raises UsageError when the one does not."""
    readable = {group["group"]: group["statistics"] for group in groups if group["statistics"] is not None}
    if wanted is not None and wanted not in readable:
        there = ", ".join(map(str, readable)) or "none"
        raise UsageError(f"there is no group {wanted} whose counters you may read", hint=f"such groups: {there}")
    return [(number, each["counters"]) for number, each in readable.items() if wanted in (None, number)]
