"""The log of pfqd: lines on standard error, as people, the journal or programs read them."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from logging.handlers import SysLogHandler
from typing import Final, TextIO

from pfq.errors import PfqError

PER_SECOND, AT_ONCE = 50, 200
"""How many lines less important than errors are written, so that no client can fill a disk by failing."""
SYSLOG: Final = "/dev/log"

_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def set_up(form: str, level: str, *, background: bool = False, stream: TextIO | None = None) -> None:
    """Everything that is logged goes to standard error from now on.

    form        `text` or `json`
    background  the process has left its terminal: then to syslog, unless standard error was sent elsewhere
    """
    out = sys.stderr if stream is None else stream
    handler: logging.Handler = logging.StreamHandler(out)
    formatter: logging.Formatter = Json() if form == "json" else Plain(_is_journal(out))
    if background and out.isatty():
        handler = SysLogHandler(SYSLOG, SysLogHandler.LOG_DAEMON) if os.path.exists(SYSLOG) else logging.NullHandler()
        formatter = Named()
    handler.setFormatter(formatter)
    handler.addFilter(Rate())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)


def set_level(level: str) -> None:
    """Nothing less important than this is logged."""
    logging.getLogger().setLevel(level.upper())


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd's journal reads the stream, as the variable JOURNAL_STREAM tells."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def one_line(error: PfqError) -> str:
    """An error as a line of the log."""
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.span}: {error.message}{hint}" if error.span else f"{error.message}{hint}"


def visible(text: str) -> str:
    """A text without line ends and control characters: what a client sent must not look like a line of ours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class Plain(logging.Formatter):
    """Lines for people; for the journal, which has the time itself, with a priority in front."""

    def __init__(self, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = visible(record.getMessage()) + _traceback(self, record)
        if self._journal:
            return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}"
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        word = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{when} pfqd: {word}{text}"


class Named(logging.Formatter):
    """Lines for syslog, which has time and priority itself."""

    def format(self, record: logging.LogRecord) -> str:
        return f"pfqd[{os.getpid()}]: {visible(record.getMessage())}{_traceback(self, record)}"


class Json(logging.Formatter):
    """One object a line; times are seconds since 1970."""

    def format(self, record: logging.LogRecord) -> str:
        found: Mapping[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("pfq."),
            "message": record.getMessage() + _traceback(self, record),
        }
        return json.dumps(found)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Where a fault of ours happened, on the same line."""
    return visible(" | " + formatter.formatException(record.exc_info)) if record.exc_info else ""


class Rate(logging.Filter):
    """Lets so many lines a second through, and all errors; tells how many it kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens, self._last, self._kept_back = float(AT_ONCE), time.monotonic(), 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        self._tokens = min(AT_ONCE, self._tokens + (now - self._last) * PER_SECOND)
        self._last = now
        if record.levelno < logging.ERROR and self._tokens < 1:
            self._kept_back += 1
            return False
        self._tokens = max(0.0, self._tokens - 1)
        if self._kept_back:
            record.msg = f"{record.getMessage()} (and {self._kept_back} lines before it that were too many)"
            record.args = ()
            self._kept_back = 0
        return True
