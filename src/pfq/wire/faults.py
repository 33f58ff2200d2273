"""Errors as plain data, and back: what went wrong in the daemon looks the same to who asked for it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pfq.errors import (
    AttachConflictError,
    ConfigErrors,
    DaemonGoneError,
    DeviceGoneError,
    DeviceMissingError,
    InternalError,
    KernelTooOldError,
    LimitError,
    NoPrivilegeError,
    NotPermittedError,
    PfqError,
    ProgramErrors,
    RingClosedError,
    VerifierError,
    VersionError,
    error_classes,
)
from pfq.source import Source, Span

MAX_FAULTS: Final = 50
"""Of a program or a configuration; more are left out."""
MAX_TEXT: Final = 4000
"""Characters of a sentence."""
MAX_LOG: Final = 32_000
"""Characters of the verifier's log; its end says why."""

_NUMBERS: Final[Mapping[type[PfqError], int]] = {
    NotPermittedError: errno.EACCES,
    VersionError: errno.EPROTO,
    KernelTooOldError: errno.EOPNOTSUPP,
    NoPrivilegeError: errno.EPERM,
    DeviceMissingError: errno.ENODEV,
    LimitError: errno.ENOSPC,
    AttachConflictError: errno.EBUSY,
    RingClosedError: errno.ENOENT,
    DeviceGoneError: errno.ENODEV,
    DaemonGoneError: errno.ECONNRESET,
    InternalError: errno.EIO,
}
"""For programs in C; EINVAL for all others."""

E = TypeVar("E", bound=PfqError)


@dataclass(frozen=True, slots=True)
class Place(Span):
    """A place in a text that is somewhere else: what can be said of it.

    at     line and column, both from 1
    shown  the excerpt
    """

    at: tuple[int, int] = (1, 1)
    shown: tuple[str, ...] = ()

    @property
    def line(self) -> int:
        return self.at[0]

    @property
    def column(self) -> int:
        return self.at[1]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self) -> list[str]:
        return list(self.shown)


def numbered(error: E, number: int) -> E:
    """The error, with a number of errno that is more exact than that of its class."""
    error.__dict__["errno"] = number
    return error


def errno_of(error: PfqError) -> int:
    """The number that programs in C get for an error."""
    if (exact := error.__dict__.get("errno")) is not None:
        return int(exact)
    return next((_NUMBERS[cls] for cls in type(error).__mro__ if cls in _NUMBERS), errno.EINVAL)


def to_record(error: PfqError) -> dict[str, Any]:
    """An error as plain data, of a length that fits into a message."""
    found: dict[str, Any] = {"code": error.code, "message": error.message[:MAX_TEXT], "errno": errno_of(error)}
    if error.span is not None:
        found |= _place(error.span)
    if error.hint:
        found["hint"] = error.hint[:MAX_TEXT]
    if error.notes:
        found["notes"] = [{**_place(span), "remark": remark[:MAX_TEXT]} for span, remark in error.notes[:MAX_FAULTS]]
    if isinstance(error, ProgramErrors | ConfigErrors):
        found["faults"] = [to_record(each) for each in error.faults[:MAX_FAULTS]]
    if isinstance(error, VerifierError) and error.log:
        found["log"] = error.log[-MAX_LOG:]
    return found


def from_record(record: Mapping[str, Any]) -> PfqError:
    """The error that a record describes; it prints the same text. What is no record is an InternalError."""
    try:
        return _error(record)
    except (AttributeError, KeyError, TypeError, ValueError):
        return InternalError(f"an error came that cannot be read: {str(record)[:MAX_TEXT]}")


def _place(span: Span) -> dict[str, Any]:
    return {"file": span.source.name, "line": span.line, "column": span.column, "excerpt": span.excerpt()}


def _span(record: Mapping[str, Any]) -> Span | None:
    if "file" not in record:
        return None
    at = int(record["line"]), int(record["column"])
    return Place(Source(str(record["file"]), ""), 0, 0, at, tuple(map(str, record["excerpt"])))


def _error(record: Mapping[str, Any]) -> PfqError:
    code, message, span = str(record["code"]), str(record["message"]), _span(record)
    hint = None if record.get("hint") is None else str(record["hint"])
    notes = [(at, str(each["remark"])) for each in record.get("notes", ()) if (at := _span(each)) is not None]
    faults = [_error(each) for each in record.get("faults", ())]
    made = _made(code, message, span, hint, notes, faults, str(record.get("log", "")))
    return numbered(made, int(record["errno"])) if "errno" in record else made


def _made(
    code: str,
    message: str,
    span: Span | None,
    hint: str | None,
    notes: list[tuple[Span, str]],
    faults: list[PfqError],
    log: str,
) -> PfqError:
    if code == ProgramErrors.code and faults:
        return ProgramErrors(faults)  # type: ignore[arg-type]  # they are what the daemon had in it
    if code == ConfigErrors.code:
        return ConfigErrors(message, span, hint, notes, faults)
    if code == VerifierError.code:
        return VerifierError(message, span, hint, log)
    cls = _BY_CODE.get(code)
    if cls is None:
        return PfqError(f"{message} [{code}]", span, hint, notes)
    return cls(message, span, hint, notes)


_BY_CODE: Final = {cls.code: cls for cls in error_classes() if cls is not ProgramErrors}
