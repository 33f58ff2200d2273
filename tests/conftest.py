"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with that of a file; `--update-golden` writes the file."""

    def compare(path: Path, text: str) -> None:
        __tracebackhide__ = True
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        if not path.exists():
            pytest.fail(f"{path} does not exist; run the tests with --update-golden and look at what they wrote")
        assert text == path.read_text(encoding="utf-8")

    return compare
