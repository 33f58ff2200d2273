"""What all commands have that ask pfqd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pfq.client.engine import RemoteEngine

socket_option = click.option(
    "--socket", metavar="PATH", help="Where pfqd listens; otherwise PFQ_SOCKET says, or it is /run/pfq/pfqd.sock."
)
LONGEST_CELL = 48


def connected(socket: str | None) -> RemoteEngine:
    """A connection to the daemon; raises DaemonMissingError when nobody answers there."""
    from pfq.client import connect

    return connect(socket)


def listed(socket: str | None) -> dict[str, Any]:
    """What the daemon lists: groups, end-points and devices that this user may see."""
    with connected(socket) as engine:
        return engine.listed()


def short(text: str | None) -> str:
    """A text on one line, as long as it fits into a table; `-` when there is none."""
    words = " ".join((text or "-").split())
    return words if len(words) <= LONGEST_CELL else words[: LONGEST_CELL - 3] + "..."


def number(statistics: dict[str, Any] | None, name: str) -> str:
    """A count; `-` when this user may not read it."""
    return "-" if statistics is None else str(statistics[name])
