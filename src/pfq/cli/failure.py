"""How an error reaches the user: on stderr, with place, hint and exit status; never as a traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from typing import Any

import click

from pfq.errors import InternalError, OutputError, PfqError, ProgramErrors, UsageError

INTERRUPTED_STATUS = 130
WRITING_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
DEBUG_VARIABLE = "PFQ_DEBUG"

_COLOURS = (
    (re.compile(r"error\[PFQ\d+\]"), "red"),
    (re.compile(r"(?<=^  )hint(?=:)", re.MULTILINE), "green"),
    (re.compile(r"note(?=: )"), "cyan"),
    (re.compile(r"\^+$", re.MULTILINE), "red"),
)


def report(error: Exception, as_json: bool) -> int:
    """Writes the error to stderr; returns the exit status."""
    if isinstance(error, click.Abort):
        return INTERRUPTED_STATUS
    known = as_pfq_error(error)
    if known is not error and os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    if as_json:
        text = json.dumps({"errors": [record(fault) for fault in faults(known)]})
    else:
        text = coloured(str(known), sys.stderr)
    print(text, file=sys.stderr)
    return known.exit_status


def as_pfq_error(error: Exception) -> PfqError:
    """The error itself, or what it means: wrong use of the command line, or our own fault."""
    if isinstance(error, PfqError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "pfq"
        return UsageError(error.format_message().rstrip("."), hint=f"`{path} --help` shows the options")
    if isinstance(error, OSError) and error.errno in WRITING_FAILED:
        forget_stdout()
        return OutputError(f"cannot write the output: {error.strerror}", hint="write it where there is room")
    return InternalError(
        f"{type(error).__name__}: {error}",
        hint=f"please report this with the command and the output of `pfq probe`; {DEBUG_VARIABLE}=1 shows the place",
    )


def faults(error: PfqError) -> list[PfqError]:
    return list(error.faults) if isinstance(error, ProgramErrors) else [error]


def record(error: PfqError) -> dict[str, Any]:
    """The error as plain data."""
    found: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.span:
        found |= {"file": error.span.source.name, "line": error.span.line, "column": error.span.column}
    if error.hint:
        found["hint"] = error.hint
    if error.notes:
        found["notes"] = [{"at": str(span), "remark": remark} for span, remark in error.notes]
    return found


def has_colour(stream: Any) -> bool:
    """Colours go to terminals only, and not against the user's wish (https://no-color.org)."""
    return "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb" and bool(stream.isatty())


def coloured(text: str, stream: Any) -> str:
    if not has_colour(stream):
        return text
    for pattern, colour in _COLOURS:
        text = pattern.sub(click.style(r"\g<0>", fg=colour, bold=True), text)
    return text


def forget_stdout() -> None:
    """Makes the flush at exit harmless after the reader of our output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
