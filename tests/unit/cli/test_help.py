"""The help texts: a change to them shows in review."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.captures import Run

from pfq.cli.compile import tool

COMMANDS = (
    *("capture", "check", "compile", "counters", "endpoints", "explain", "flows", "functions", "groups"),
    *("probe", "run", "stats", "version"),
)
FOLDER = Path(__file__).parent / "help"


@pytest.mark.parametrize("name", ["pfq", *COMMANDS])
def test_help(name: str, run: Run, golden: Callable[[Path, str], None]) -> None:
    arguments = [] if name == "pfq" else [name]
    done = run(*arguments, "--help")
    assert done.exit_code == 0
    golden(FOLDER / f"{name}.txt", done.stdout)


def test_help_of_pfq_lang(golden: Callable[[Path, str], None]) -> None:
    done = [
        CliRunner().invoke(tool, [option], prog_name="pfq-lang", env={"COLUMNS": "100"}) for option in ("-?", "--help")
    ]
    assert done[0].stdout == done[1].stdout
    golden(FOLDER / "pfq-lang.txt", done[0].stdout)
