"""Where in a Python file an expression was written, for the errors of expressions."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from functools import wraps
from itertools import islice
from types import FrameType
from typing import ParamSpec, TypeVar

from pfq.errors import PfqError, ProgramErrors
from pfq.source import Source, Span

P = ParamSpec("P")
T = TypeVar("T")


def placed(function: Callable[P, T]) -> Callable[P, T]:
    """The same function; an error that it raises without a place gets that of the call, outside of PFQ."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except PfqError as error:
            if error.span is None and not isinstance(error, ProgramErrors):
                error.span = place_of_caller()
            raise

    return call


def place_of_caller() -> Span | None:
    """The expression that calls into PFQ, in its file; None in an interactive session, where it was just typed."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == "pfq":
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith("<"):
        return None
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    first, last, column, end_column = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    if first is None or last is None or last > len(lines):
        return None
    source = Source(frame.f_code.co_filename, "".join(lines))
    return Span(source, _offset(lines, first, column or 0), _offset(lines, last, end_column))


def _offset(lines: list[str], line: int, column: int | None) -> int:
    """Characters before a column, which Python counts in bytes; None is the end of the line."""
    text = lines[line - 1].rstrip("\n")
    inside = len(text if column is None else text.encode()[:column].decode())
    return sum(map(len, lines[: line - 1])) + inside
