"""The bytes of a packet below its line: -x, -X, -A, and doubled with the link-level header."""

from __future__ import annotations

from collections.abc import Callable

from pfq.cli.decode.text import hex_ascii_dump, hex_dump

Dump = Callable[[bytes, int], str]
"""(captured bytes, bytes of the link-level header) to the lines below, each begun with a newline."""


def dumps(hexadecimal: int, both: int, ascii: int) -> Dump | None:
    """The dump asked for by the numbers of -x, -X and -A; None when none was."""
    show: Callable[[bytes], str]
    if both:
        show, times = hex_ascii_dump, both
    elif hexadecimal:
        show, times = hex_dump, hexadecimal
    elif ascii:
        show, times = ascii_dump, ascii
    else:
        return None
    return (
        (lambda frame, link_bytes: show(frame)) if times > 1 else (lambda frame, link_bytes: show(frame[link_bytes:]))
    )


def ascii_dump(data: bytes) -> str:
    shown = "".join(chr(byte) if 32 <= byte < 127 or byte in b"\t\n" else "." for byte in data.replace(b"\r\n", b"\n"))
    return "\n" + shown
