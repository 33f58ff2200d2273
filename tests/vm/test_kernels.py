"""V3: the kernels of Debian 12 and 13 load every program, and the tests of the kernel layer pass there."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import sys
from pathlib import Path

import pytest
from support.acceptance import compiled, filters_of_groups
from support.compositions import HIGHER, drawn, examples, pairs
from vm.boot import CPUS, CannotBootError, Image, run

from pfq.codegen.spec import Hook

pytestmark = pytest.mark.vm

ROOT = Path(__file__).parents[2]
DRAWN = 200
HOOKS = ((Hook.XDP, 1), (Hook.TC_INGRESS, 4))
SECONDS = 3600
"""For one machine. Without hardware that helps it is twenty times as slow as the one it runs on."""

TESTS = ("tests/agree/test_edges.py", "tests/root/kernel")


def in_machine(kernel: Image, *command: str) -> str:
    """What a command printed that ran there from the root of the project and ended well."""
    paths = ("/usr/local/sbin", "/usr/sbin", "/sbin", os.environ["PATH"])
    settings = {
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join(str(Path(folder).resolve()) for folder in sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/root",
    }
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    try:
        outcome = run(kernel, f"{exports}\ncd {shlex.quote(str(ROOT))}\n{shlex.join(command)}\n", SECONDS)
    except CannotBootError as error:
        pytest.skip(str(error))
    assert outcome.status == 0, outcome.output
    return outcome.output


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of compiled programs: all examples, all pairs, random ones, and groups with filters."""
    all_programs = [*examples(), *(pair for outer in HIGHER for pair in pairs(outer)), *drawn(DRAWN)]
    file = tmp_path_factory.mktemp("programs") / "programs"
    filtered = filters_of_groups([hook for hook, _ in HOOKS], CPUS)
    file.write_bytes(pickle.dumps([*compiled(all_programs, HOOKS, CPUS), *filtered]))
    return file


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
def test_V3_every_program_is_accepted(kernel: Image, programs: Path) -> None:
    said = in_machine(kernel, sys.executable, "-m", "support.acceptance", str(programs))
    assert re.search(r"^(\d+) of \1 programs are accepted", said, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
def test_the_kernel_layer(kernel: Image) -> None:
    options = ("-q", "--color=no", "-p", "no:cacheprovider", "-m", "not slow", "-o", "timeout=600")
    said = in_machine(kernel, sys.executable, "-m", "pytest", *options, *TESTS)
    assert re.search(r"^\d+ passed", said, re.MULTILINE)
