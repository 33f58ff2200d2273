"""The manual's programs in C are programs, and the functions that it names are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.c_client import NATIVE, ROOT, STRICT
from support.documents import Snippet, snippets

PROGRAMS = [snippet for snippet in snippets("c") if "#include <pfq/" in snippet.code]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("snippet", PROGRAMS, ids=str)
def test_programs_in_c_compile(snippet: Snippet, tmp_path: Path) -> None:
    source = tmp_path / "snippet.c"
    source.write_text(snippet.code)
    done = subprocess.run(
        ["cc", *STRICT, f"-I{NATIVE}/include", "-c", source, "-o", tmp_path / "o"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_there_are_some() -> None:
    assert any("int main(" in snippet.code for snippet in PROGRAMS)
    assert len(PROGRAMS) >= 2


def header() -> str:
    return "".join((NATIVE / "include/pfq" / name).read_text() for name in ("pfq.h", "ring.h"))


def test_functions_that_the_manual_names_are_in_the_header() -> None:
    text = (ROOT / "docs/c-library.md").read_text()
    named = set(re.findall(r"\b(?:pfq|PFQ)_\w+", text)) - {"PFQ_SOCKET"}
    assert {name for name in named if not re.search(rf"\b{name}\b", header())} == set()
    assert len(named) > 15


def test_the_table_of_the_original_s_functions() -> None:
    """What stands on the right exists; where the right says `the same`, what stands on the left does."""
    section = (ROOT / "docs/coming-from-pfq.md").read_text().partition("### The C library\n")[2].partition("\n### ")[0]
    rows = [row.strip("| ").split(" | ") for row in section.splitlines() if row.startswith("| `pfq")]
    assert len(rows) > 25
    for left, right in rows:
        meant = left + right if right.startswith("the same") else right
        for name in re.findall(r"\b((?:pfq|PFQ)_\w+)", meant):
            assert re.search(rf"\b{name}\b", header()), f"{name} in: {left}"
