"""Lines of the log: for people, the journal and programs; one line for each record, whatever clients send."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfq.daemon import logs
from pfq.errors import UsageError
from pfq.source import Source, Span

log = logging.getLogger("pfq.daemon.test")


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def written(form: str, *messages: tuple[int, str], level: str = "info") -> list[str]:
    stream = io.StringIO()
    logs.set_up(form, level, stream=stream)
    for number, text in messages:
        log.log(number, "%s", text)
    return stream.getvalue().splitlines()


def test_lines_for_people() -> None:
    lines = written("text", (logging.INFO, "ready"), (logging.WARNING, "slow"), (logging.DEBUG, "hidden"))
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert len(lines) == 2
    assert re.fullmatch(f"{time} pfqd: ready", lines[0])
    assert re.fullmatch(f"{time} pfqd: warning: slow", lines[1])


def test_lines_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.set_up("text", "debug", stream=stream)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            log.log(level, "hello")
    assert (tmp_path / "journal").read_text() == "<7>hello\n<6>hello\n<4>hello\n<3>hello\n"


def test_a_stream_that_is_not_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with (tmp_path / "file").open("w") as stream:
        logs.set_up("text", "info", stream=stream)
        log.info("hello")
    assert (tmp_path / "file").read_text().endswith(" pfqd: hello\n")


def test_lines_for_programs() -> None:
    (line,) = written("json", (logging.ERROR, 'a "b"\n\u2028c'))
    found = json.loads(line)
    assert abs(found.pop("time") - logging.LogRecord("", 0, "", 0, "", None, None).created) < 60
    assert found == {"level": "error", "part": "daemon.test", "message": 'a "b"\n\u2028c'}


@pytest.mark.parametrize("form", ["text", "json"])
def test_clients_forge_no_lines_and_no_colours(form: str) -> None:
    text = "x\n2026-01-01 00:00:00 pfqd: all is well\r\x1b[31m\x00\u2028\udc80"
    (line,) = written(form, (logging.WARNING, text))
    assert line.isprintable()


def test_a_traceback_is_one_line() -> None:
    stream = io.StringIO()
    logs.set_up("text", "info", stream=stream)
    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "it failed | Traceback" in line


def test_clients_do_not_fill_the_disk() -> None:
    lines = written("text", *[(logging.WARNING, str(n)) for n in range(3 * logs.AT_ONCE)], (logging.ERROR, "bad"))
    assert logs.AT_ONCE <= len(lines) <= logs.AT_ONCE + 20
    assert re.search(r"error: bad \(and \d+ lines before it that were too many\)$", lines[-1])


def test_an_error_in_one_line() -> None:
    span = Span(Source("a.toml", "x\ny = 1\n"), 2, 3)
    assert logs.one_line(UsageError("wrong", span, "do it right")) == "a.toml:2:1: wrong (do it right)"
    assert logs.one_line(UsageError("wrong")) == "wrong"
