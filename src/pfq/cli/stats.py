"""`pfq stats`: where the packets of groups and end-points are."""

from __future__ import annotations

from typing import Any

import click

from pfq.cli.connecting import listed, number, socket_option
from pfq.cli.output import json_option, print_json, print_table

GROUP = ("arrived", "filtered", "dropped", "selected", "nobody", "forwarded", "unsent", "to_linux")
ENDPOINT = ("selected", "delivered", "lost", "read", "waiting")


@click.command()
@socket_option
@json_option
def command(socket: str | None, as_json: bool) -> None:
    """Show where the packets of pfqd's groups and end-points are.

    Every packet is in one place of each equation, once no more packets come:

    \b
    group       arrived   = filtered + dropped + selected
    end-point   selected  = delivered + lost
                delivered = read + waiting
    """
    found = listed(socket)
    if as_json:
        print_json({kind: [record(each) for each in found[kind]] for kind in ("groups", "endpoints")})
        return
    groups = [[str(each["group"]), *(number(each["statistics"], name) for name in GROUP)] for each in found["groups"]]
    print_table("groups", ("group", *(name.replace("_", " ") for name in GROUP)), groups)
    print()
    endpoints = [
        [str(each["endpoint"]), str(each["pid"]), *(number(each["statistics"], name) for name in ENDPOINT)]
        for each in found["endpoints"]
    ]
    print_table("end-points", ("end-point", "process", *ENDPOINT), endpoints)


def record(listed: dict[str, Any]) -> dict[str, Any]:
    """The counts of a group or an end-point, behind its number."""
    name = "group" if "group" in listed else "endpoint"
    counts = dict(listed["statistics"] or {})
    counts.pop("counters", None)
    return {name: listed[name], **({"pid": listed["pid"]} if "pid" in listed else {}), **counts}
