"""What a program tells the user about a packet. All of these pass it."""

from __future__ import annotations

from typing import Final

from pfq.lang.action import EventKind
from pfq.lang.interp import Machine
from pfq.lang.prims.table import Prim

MAX_MESSAGE: Final = 200
"""Characters of a message."""


def report(m: Machine, kind: EventKind, text: str = "") -> bool:
    m.report(kind, text)
    return True


def check_message(text: str) -> str | None:
    if len(text) > MAX_MESSAGE:
        return f"a message has at most {MAX_MESSAGE} characters, but this one has {len(text)}"
    return None if text.isprintable() else "a message is one line of printable characters"


def row(name: str, kind: EventKind, what: str) -> Prim:
    """The row of a report without an argument."""
    return Prim(
        name=name,
        type="Packet -> Action Packet",
        doc=f"Reports {what}.",
        run=lambda m: report(m, kind),
        lower=lambda e: e.report(kind),
        example=f"when is_icmp {name}",
        family="log",
    )


ROWS: tuple[Prim, ...] = (
    Prim(
        name="log_msg",
        type="String -> Packet -> Action Packet",
        doc=f"Reports a message, one line of at most {MAX_MESSAGE} characters.",
        run=lambda m, text: report(m, EventKind.MESSAGE, text),
        lower=lambda e, text: e.report(EventKind.MESSAGE, text),
        example='when is_icmp (log_msg "ping")',
        family="log",
        check=check_message,
    ),
    row("log_buff", EventKind.BUFFER, "the first bytes of the packet in hexadecimal"),
    row("log_packet", EventKind.PACKET, "the packet as a line, in the manner of tcpdump"),
    row("trace", EventKind.TRACE, "the packet and what the program has decided about it so far"),
)
