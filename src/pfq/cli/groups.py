"""`pfq groups`: the groups of the daemon."""

from __future__ import annotations

from typing import Any

import click

from pfq.cli.connecting import listed, number, short, socket_option
from pfq.cli.output import json_option, print_json, print_table

COLUMNS = ("group", "policy", "program", "filter", "devices", "members", "arrived", "selected", "dropped", "filtered")


@click.command()
@socket_option
@json_option
def command(socket: str | None, as_json: bool) -> None:
    """List the groups of pfqd that you may see.

    A row has the end-points that are its members, and what became of its packets since it was made.
    """
    groups: list[dict[str, Any]] = listed(socket)["groups"]
    if as_json:
        print_json(groups)
    else:
        print_table("groups", COLUMNS, [row(group) for group in groups])


def row(group: dict[str, Any]) -> list[str]:
    counts = group["statistics"]
    return [
        str(group["group"]),
        group["policy"],
        short(group["program"]),
        short(group["filter"]),
        ", ".join(map(bound, group["bindings"])) or "-",
        ",".join(str(member["endpoint"]) for member in group["members"]) or "-",
        *(number(counts, name) for name in COLUMNS[6:]),
    ]


def bound(binding: dict[str, Any]) -> str:
    """A device, with all that is unusual about the binding."""
    queue = "" if binding["queue"] is None else f" queue {binding['queue']}"
    direction = "" if binding["direction"] == "in" else f" {binding['direction']}"
    inline = "" if binding["binding"] == "tap" else f" {binding['binding']}"
    return f"{binding['device']}{queue}{direction}{inline}"
