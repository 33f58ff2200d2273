"""The time in front of a line, in tcpdump's forms."""

from __future__ import annotations

import time
from collections.abc import Callable

NS = 1_000_000_000
Stamp = Callable[[int], str]


def stamps(form: int) -> Stamp:
    """A function from arrival times (ns since 1970) to the text in front of the line.

    form: 0 time of day, 1 nothing, 2 seconds since 1970, 3 since the line before, 4 date and time,
    5 and more since the first line: the number of `-t` options.
    """
    match form:
        case 0:
            return _local("%H:%M:%S")
        case 1:
            return lambda ts_ns: ""
        case 2:
            return lambda ts_ns: f"{ts_ns // NS}.{ts_ns % NS // 1000:06} "
        case 3:
            return _since(follow=True)
        case 4:
            return _local("%Y-%m-%d %H:%M:%S")
        case _:
            return _since(follow=False)


def _local(layout: str) -> Stamp:
    second, text = -1, ""

    def stamp(ts_ns: int) -> str:
        nonlocal second, text
        if ts_ns // NS != second:  # many packets share a second, and strftime is slow
            second = ts_ns // NS
            text = time.strftime(layout, time.localtime(second))
        return f"{text}.{ts_ns % NS // 1000:06} "

    return stamp


def _since(follow: bool) -> Stamp:
    reference: int | None = None

    def stamp(ts_ns: int) -> str:
        nonlocal reference
        start = ts_ns if reference is None else reference
        if follow or reference is None:
            reference = ts_ns
        micros = ts_ns // 1000 - start // 1000
        seconds, rest = divmod(abs(micros), 1_000_000)
        sign = "-" if micros < 0 else " "
        return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:06} "

    return stamp
