"""Flows as text: rows of a table, and fields of records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pfq.columns.addresses import addresses

if TYPE_CHECKING:
    from pfq.flow.batch import FlowBatch

NS: Final = 1_000_000_000
FIELDS: Final = (
    *("first_ns", "last_ns", "src", "src_port", "dst", "dst_port", "proto", "ip_version", "interface"),
    *("packets", "packets_back", "bytes", "bytes_back", "tcp_flags", "tcp_flags_back", "end_reason"),
)
"""The columns of CSV, and the names in JSON: those of a `FlowBatch`."""
HEADINGS: Final = (
    *("begin", "seconds", "protocol", "from", "to"),
    *("packets", "back", "bytes", "back", "TCP flags", "end"),
)
"""The columns of the table."""
WIDTHS: Final = (26, 10, 8, 24, 24, 8, 8, 11, 11, 12, 6)
"""Of the columns in lines that are printed before the next flow is known."""

_PROTOCOLS: Final = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "icmp6", 132: "sctp"}
_FLAGS: Final = "FSRPAUEC"
"""TCP flags from bit 0 on."""


def values(batch: FlowBatch) -> Iterator[tuple[Any, ...]]:
    """The `FIELDS` of each flow: numbers, and addresses and end reasons as text."""
    texts = {"src": addresses(batch.src), "dst": addresses(batch.dst), "end_reason": batch.end_words}
    return zip(*(texts[name] if name in texts else batch.array[name].tolist() for name in FIELDS), strict=True)


def rows(batch: FlowBatch) -> Iterator[tuple[str, ...]]:
    """A row of the table for each flow, with a cell for each of the `HEADINGS`."""
    for row in values(batch):
        first, last, src, src_port, dst, dst_port, proto, _, _, *counts, flags, flags_back, end = row
        yield (
            moment(first),
            f"{(last - first) // 1000 / 1e6:.6f}",
            _PROTOCOLS.get(proto, str(proto)),
            end_point(src, src_port),
            end_point(dst, dst_port),
            *map(str, counts),
            f"{letters(flags)}/{letters(flags_back)}" if flags | flags_back else "",
            end,
        )


def moment(ts_ns: int) -> str:
    """Date and time of day, to the microsecond; nothing for a time that is not known."""
    if ts_ns == 0:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts_ns // NS)) + f".{ts_ns % NS // 1000:06}"


def end_point(address: str, port: int) -> str:
    """Address and port, if it has one."""
    if port == 0:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def letters(flags: int) -> str:
    """TCP flags, a letter each: `FSPA`."""
    return "".join(letter for bit, letter in enumerate(_FLAGS) if flags >> bit & 1)


def line(row: tuple[str, ...]) -> str:
    """A row of the table as a line of its own."""
    return "  ".join(cell.ljust(width) for cell, width in zip(row, WIDTHS, strict=True)).rstrip()
