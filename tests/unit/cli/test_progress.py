from __future__ import annotations

import io
import sys

import pytest

from pfq.cli import progress
from pfq.cli.progress import ProgressBar, rates, scaled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def impatient(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error; not a fixture, because pytest has its own between fixtures and tests."""
    found = Terminal()
    for name, value in (("TERM", "xterm"), ("COLUMNS", "120"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(progress, "MOMENT_S", 0.0)
    monkeypatch.setattr(progress, "PERIOD_S", 0.0)
    return found


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = impatient(monkeypatch)
    bar = ProgressBar("a [b] c", 1000, wanted=True)
    bar(250, 3)
    bar(500, 6)
    bar.close()
    text = terminal.getvalue()
    assert "a [b] c" in text
    assert " 25%" in text
    assert " 50%" in text
    assert "pps" in text
    bar(750, 9)
    assert terminal.getvalue() == text


def test_of_unknown_size(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = impatient(monkeypatch)
    bar = ProgressBar("standard input", None, wanted=True)
    bar(250, 3)
    bar.close()
    assert "pps" in terminal.getvalue()


def test_what_nobody_wants_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = impatient(monkeypatch)
    ProgressBar("x", 10, wanted=False)(5, 5)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bar = ProgressBar("x", 10, wanted=True)
    bar(5, 5)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_short_jobs_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = impatient(monkeypatch)
    monkeypatch.setattr(progress, "MOMENT_S", 1000.0)
    bar = ProgressBar("x", 10, wanted=True)
    bar(5, 5)
    bar.close()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0 "), (7.25, "7.25 "), (999.4, "999 "), (999.6, "1 k"), (12_345, "12.3 k"), (123_456_789, "123 M")),
        *((5.5e9, "5.5 G"), (999_960, "1 M"), (2.5e12, "2500 G")),
    ],
)
def test_numbers(number: float, text: str) -> None:
    assert scaled(number) == text


def test_rates() -> None:
    assert rates(3_000_000_000, 24_000_000, 2.0) == "12 Mpps  1.5 GB/s"
