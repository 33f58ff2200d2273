"""`pfq endpoints`: the end-points of the daemon, and whose they are."""

from __future__ import annotations

from typing import Any

import click

from pfq.cli.connecting import listed, number, socket_option
from pfq.cli.output import json_option, print_json, print_table

COLUMNS = (
    "end-point",
    "process",
    "user",
    "groups",
    "weight",
    "snaplen",
    "slots",
    "clock",
    "delivered",
    "lost",
    "waiting",
)


@click.command()
@socket_option
@json_option
def command(socket: str | None, as_json: bool) -> None:
    """List the end-points of pfqd that you may see.

    Those of others are listed as far as they are members of groups that you may see. An egress
    end-point shows the device that it sends to, instead of a snapshot length.
    """
    endpoints: list[dict[str, Any]] = listed(socket)["endpoints"]
    if as_json:
        print_json(endpoints)
    else:
        print_table("end-points", COLUMNS, [row(endpoint) for endpoint in endpoints])


def row(endpoint: dict[str, Any]) -> list[str]:
    out = endpoint["egress"]
    shape = [str(endpoint["snaplen"]), str(endpoint["slots"]), endpoint["clock"]]
    if out is not None:
        queue = "" if out["queue"] is None else f" queue {out['queue']}"
        shape = [f"to {out['device']}{queue}", "-", "-"]
    return [
        str(endpoint["endpoint"]),
        str(endpoint["pid"]),
        endpoint["user"],
        ",".join(map(str, endpoint["groups"])) or "-",
        str(endpoint["weight"]),
        *shape,
        *(number(endpoint["statistics"], name) for name in COLUMNS[8:]),
    ]
