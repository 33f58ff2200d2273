"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests do not measure time, and every run draws the same examples.
settings.register_profile("pfq", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pfq")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--fetch", action="store_true", help="get captures from Debian's source packages, once")


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
