"""The help texts: a change to them shows in review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.captures import Run

COMMANDS = ("capture", "check", "compile", "explain", "functions", "probe", "version")
FOLDER = Path(__file__).parent / "help"


@pytest.mark.parametrize("name", ["pfq", *COMMANDS])
def test_help(name: str, run: Run, golden: Callable[[Path, str], None]) -> None:
    arguments = [] if name == "pfq" else [name]
    done = run(*arguments, "--help")
    assert done.exit_code == 0
    golden(FOLDER / f"{name}.txt", done.stdout)
