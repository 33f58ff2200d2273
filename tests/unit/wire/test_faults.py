"""Errors make the trip from the daemon to its client, and print the same text there."""

from __future__ import annotations

import errno

import pytest

from pfq.errors import (
    AttachConflictError,
    ConfigErrors,
    InternalError,
    LimitError,
    NotPermittedError,
    PfqError,
    ProgramErrors,
    TypeMismatchError,
    UnknownNameError,
    UsageError,
    VerifierError,
    VersionError,
    error_classes,
)
from pfq.lang import compile_text
from pfq.source import Source, Span
from pfq.wire.faults import MAX_FAULTS, MAX_LOG, from_record, numbered, to_record
from pfq.wire.messages import MESSAGE_BYTES, decode, encode

SOURCE = Source("edge.pfq", "main = ip >->\n  \tsteer_flwo\x1b\n")
SPAN = Span(SOURCE, 17, 28)


def sent(error: PfqError) -> PfqError:
    return from_record(decode(encode(to_record(error))))


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in error_classes()])
def test_every_class(cls: type[PfqError]) -> None:
    error = ProgramErrors([UnknownNameError("x")]) if cls is ProgramErrors else cls("it failed", hint="do this")
    found = sent(error)
    assert type(found) is cls
    assert str(found) == str(error)
    assert found.exit_status == error.exit_status


def test_a_place_with_its_excerpt() -> None:
    error = TypeMismatchError("no", SPAN, "do this", [(Span(SOURCE, 0, 4), "the first time")])
    found = sent(error)
    assert str(found) == str(error)
    assert found.span is not None
    assert (found.span.line, found.span.column, found.span.source.name) == (2, 4, "edge.pfq")
    assert [str(span) for span, _ in found.notes] == ["edge.pfq:1:1"]


@pytest.mark.parametrize(
    "text",
    [
        "ip >-> steer_flwo >-> foo",
        "main = ip >-> 5\nother = 'x'",
        "filter ip",
        '"',
        "main = " + "ip >-> " * 400 + "nix",
    ],
)
def test_errors_of_programs(text: str) -> None:
    with pytest.raises(PfqError) as caught:
        compile_text(text, "a.pfq")
    found = sent(caught.value)
    assert str(found) == str(caught.value)
    assert type(found) is type(caught.value)
    if isinstance(found, ProgramErrors):
        assert [type(each) for each in found] == [type(each) for each in caught.value.faults]  # type: ignore[attr-defined]


def test_errors_of_a_configuration() -> None:
    error = ConfigErrors("two faults", faults=[UsageError("one", SPAN, "hint"), LimitError("two")])
    found = sent(error)
    assert isinstance(found, ConfigErrors)
    assert str(found) == str(error)
    assert [type(each) for each in found.faults] == [UsageError, LimitError]


def test_the_end_of_the_verifiers_log() -> None:
    found = sent(VerifierError("refused", log="x" * 1_000_000 + "R1 invalid"))
    assert isinstance(found, VerifierError)
    assert found.log.endswith("xR1 invalid")
    assert len(found.log) == MAX_LOG


def test_the_longest_error_fits_into_a_message() -> None:
    span = Span(Source("a" * 200, "é" * 10_000), 5_000, 6_000)
    error = ProgramErrors([UnknownNameError("é" * 300, span, "é" * 100)] * 1000)
    assert len(encode(to_record(error))) < MESSAGE_BYTES
    assert len(list(sent(error))) == MAX_FAULTS  # type: ignore[call-overload]


def test_numbers_for_programs_in_c() -> None:
    wanted = {
        NotPermittedError("x"): errno.EACCES,
        LimitError("x"): errno.ENOSPC,
        AttachConflictError("x"): errno.EBUSY,
        VersionError("x"): errno.EPROTO,
        UsageError("x"): errno.EINVAL,
        UnknownNameError("x"): errno.EINVAL,
        InternalError("x"): errno.EIO,
        numbered(UsageError("no such group"), errno.ENOENT): errno.ENOENT,
    }
    assert {error: to_record(error)["errno"] for error in wanted} == wanted
    # The number is kept when the error is passed on.
    assert to_record(sent(numbered(LimitError("x"), errno.EAGAIN)))["errno"] == errno.EAGAIN


def test_a_code_of_a_newer_daemon() -> None:
    found = from_record({"code": "PFQ299", "message": "something new", "hint": "update"})
    assert str(found) == "error[PFQ000]: something new [PFQ299]\n  hint: update"


@pytest.mark.parametrize(
    "record",
    [{}, {"code": 1}, {"code": "PFQ201", "message": "x", "file": "a"}, {"code": "PFQ201", "message": "x", "notes": 3}],
)
def test_what_is_no_record(record: dict[str, object]) -> None:
    found = from_record(record)
    assert isinstance(found, InternalError)
    assert "cannot be read" in found.message
