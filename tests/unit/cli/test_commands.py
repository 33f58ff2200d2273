from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import click
import pytest
from support.captures import Run

from pfq.cli import COMMANDS, commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert isinstance(command, click.Command)


def test_nothing_heavy_before_a_command_runs() -> None:
    """`pfq --help` imports neither numbers nor compilers nor the commands themselves."""
    heavy = ("numpy", "llvmlite", "elftools", "pyroute2", "rich", "cffi", "pfq.lang", "pfq.kernel", "pfq.engine")
    code = f"import sys, pfq.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["capture", "check", "compile", "explain", "functions", "probe", "version"])
def test_a_commands_module_is_cheap(name: str) -> None:
    """Its arguments are read, and its help is shown, before anything else is imported."""
    module = COMMANDS[name][0].partition(":")[0]
    code = f"import sys, {module}; print([n for n in ('numpy', 'llvmlite', 'pfq.kernel', 'rich') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_command(run: Run) -> None:
    done = run("captur")
    assert (done.exit_code, done.stderr) == (
        1,
        "error[PFQ201]: there is no command `captur`\n  hint: did you mean `capture`?\n",
    )


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    assert "Commands:\n  capture" in run().output


def test_version(run: Run) -> None:
    pfq = import_module("pfq")
    assert run("--version").stdout == f"pfq {pfq.__version__}\n"
    assert run("version").stdout.startswith(f"pfq {pfq.__version__}\npython 3.")


def test_completion(run: Run) -> None:
    done = run(env={"_PFQ_COMPLETE": "bash_complete", "COMP_WORDS": "pfq ca", "COMP_CWORD": "1"})
    assert done.stdout == "plain,capture\n"
