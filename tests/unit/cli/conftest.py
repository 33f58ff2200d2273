from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.captures import FakeCapture, MakeCapture, Run

import pfq
from pfq.cli import commands


@pytest.fixture
def fake_capture(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeCapture]:
    """Makes `pfq.capture` give a FakeCapture with so many end-points; the test gets it beforehand."""
    with ExitStack() as stack:

        def make(endpoints: int = 1) -> FakeCapture:
            fake = FakeCapture(endpoints, stack)

            def capture(device: str, program: Any = None, **options: Any) -> FakeCapture:
                fake.arguments = {"device": device, "program": program, **options}
                return fake

            monkeypatch.setattr(pfq, "capture", capture, raising=False)
            return fake

        yield make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `pfq` with these arguments; the time zone is UTC, a line has 100 columns and no colours."""
    for name, value in (("TZ", "UTC"), ("NO_COLOR", "1"), ("COLUMNS", "100")):
        monkeypatch.setenv(name, value)
    time.tzset()

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(commands, arguments, prog_name="pfq", **options)

    yield run
    monkeypatch.undo()
    time.tzset()
