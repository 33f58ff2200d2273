"""The example of the manual's page about packages works as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.documents import ROOT
from support.packages import install

PAGE = (ROOT / "docs/language/extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\{code-block\} \w+\n:caption: ([^\n]+)\n\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for modules where the package of the page is installed."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    rows = project["entry-points"]["pfq.primitives"]
    install(folder, project["name"], rows, FILES["pfq_wireguard.py"], project["version"])
    (folder / "test_wireguard.py").write_text(FILES["test_wireguard.py"])
    return folder


def run(site: Path, code: str) -> str:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True, capture_output=True, text=True)
    return done.stdout


def test_the_page_shows_these() -> None:
    assert list(FILES) == ["pfq_wireguard.py", "pyproject.toml", "pfq explain wireguard_type", "test_wireguard.py"]


def test_the_primitive_is_explained_as_shown(site: Path) -> None:
    told = run(site, "from pfq.cli import commands; commands.main(['explain', 'wireguard_type'])")
    assert without_numbers(told) == without_numbers(FILES["pfq explain wireguard_type"])


def without_numbers(told: str) -> str:
    """How many instructions it costs changes with every change of the compiler."""
    return re.sub(r"(?m)^instructions +\d+$", "instructions", told)


def test_the_primitives_are_in_text_python_and_json(site: Path) -> None:
    code = """
from pfq.lang import compile_text, from_json, is_wireguard, keep, to_json, wireguard_type
text = compile_text("filter (is_wireguard .&&. wireguard_type .== 4)")
assert keep(is_wireguard & (wireguard_type == 4)).program() == from_json(to_json(text)) == text
print(text)
"""
    assert run(site, code) == "filter (is_wireguard .&&. wireguard_type .== 4)\n"


def test_its_tests_pass(site: Path) -> None:
    code = """
import test_wireguard
tests = [name for name in vars(test_wireguard) if name.startswith("test_")]
for name in tests:
    vars(test_wireguard)[name]()
print(*tests)
"""
    assert run(site, code) == "test_both_meanings_agree test_what_is_wireguard\n"


def test_the_compiled_program_is_for_the_kernel_too(site: Path) -> None:
    told = run(site, "from pfq.cli import commands; commands.main(['compile', '-P', 'wireguard', '--emit', 'asm'])")
    assert "exit" in told
