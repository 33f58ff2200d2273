from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import click
import pytest
from support.captures import Run

from pfq.cli import failure
from pfq.errors import (
    InternalError,
    KernelRefusedError,
    NoPrivilegeError,
    ParseError,
    ProgramErrors,
    UnknownNameError,
    UsageError,
)
from pfq.source import Source, Span

SOURCE = Source("edge.pfq", "main = ip >-> steer_flwo")
UNKNOWN = UnknownNameError("unknown name `steer_flwo`", Span(SOURCE, 14, 24), "did you mean `steer_flow`?")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no"), 1),
        (UNKNOWN, 1),
        (KernelRefusedError("no"), 2),
        (NoPrivilegeError("no"), 3),
        (InternalError("no"), 70),
        (ValueError("no"), 70),
        (click.UsageError("no"), 1),
        (click.Abort(), 130),
    ],
)
def test_exit_status(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(error, as_json=False) == status


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    failure.report(UNKNOWN, as_json=False)
    assert capsys.readouterr().err == (
        "edge.pfq:1:15: error[PFQ103]: unknown name `steer_flwo`\n"
        "    1 | main = ip >-> steer_flwo\n"
        "      |               ^^^^^^^^^^\n"
        "  hint: did you mean `steer_flow`?\n"
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    second = ParseError("`)` is missing", Span(SOURCE, 0, 1), notes=[(Span(SOURCE, 5, 6), "opened here")])
    failure.report(ProgramErrors([UNKNOWN, second]), as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "errors": [
            {
                "code": "PFQ103",
                "message": "unknown name `steer_flwo`",
                "file": "edge.pfq",
                "line": 1,
                "column": 15,
                "hint": "did you mean `steer_flow`?",
            },
            {
                "code": "PFQ102",
                "message": "`)` is missing",
                "file": "edge.pfq",
                "line": 1,
                "column": 1,
                "notes": [{"at": "edge.pfq:1:6", "remark": "opened here"}],
            },
        ]
    }


def test_a_fault_of_ours_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    failure.report(KeyError("x"), as_json=False)
    assert capsys.readouterr().err == (
        "error[PFQ900]: KeyError: 'x'\n"
        "  hint: please report this with the command and the output of `pfq probe`; PFQ_DEBUG=1 shows the place\n"
    )


def test_a_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PFQ_DEBUG", "1")
    try:
        raise KeyError("x")
    except KeyError as error:
        failure.report(error, as_json=False)
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    failure.report(UNKNOWN, as_json=False)
    assert "Traceback" not in capsys.readouterr().err


def test_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = "error[PFQ103]: no\n  hint: yes\n"
    assert failure.coloured(text, io.StringIO()) == text
    assert failure.coloured(text, Terminal()) == (
        "\x1b[31m\x1b[1merror[PFQ103]\x1b[0m: no\n  \x1b[32m\x1b[1mhint\x1b[0m: yes\n"
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert failure.coloured(text, Terminal()) == text


def test_closed_output_is_no_error() -> None:
    """`pfq functions | head -1`: the rest is not wanted."""
    code = "from pfq.cli import main; main()"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code, "functions"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("platform.release", interrupted)
    assert run("version").exit_code == 130


@pytest.mark.parametrize(
    ("redirection", "message"),
    [(">/dev/full", "cannot write the output: No space left on device"), (">&-", "standard output is closed")],
)
def test_R6_output_that_cannot_be_written(redirection: str, message: str) -> None:
    command = f"{sys.executable} -c 'from pfq.cli import main; main()' functions {redirection}"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == f"error[PFQ504]: {message}"
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--duration", "nan"), "nan is not a number of seconds"), (("--duration", "inf"), "inf is not a number")],
)
def test_durations_that_never_end(options: tuple[str, ...], message: str, run: Run) -> None:
    ended = run("capture", "-i", "lo", *options)
    assert ended.exit_code == 1
    assert message in ended.stderr
