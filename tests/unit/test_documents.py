"""What the README and the manual show works: programs compile, and what needs no privilege gives what is shown."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
from support.documents import ROOT, Snippet, cells, pairs, rows, snippets
from support.terminal import commands, lay_out, needs_root, run

from pfq import lang
from pfq.errors import ProgramError
from pfq.lang.compile import compile_text
from pfq.lang.edsl import Expression, to_program
from pfq.lang.prims import PRIMS

DOCS = ROOT / "docs"
TABLE = pairs(DOCS / "language/guide.md", "| text | Python |")
OPERATORS = [row[1:] for row in cells(DOCS / "coming-from-pfq.md", "| C++ | pfq-lang, as in Haskell | Python |")]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples name files as seen from there."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("snippet", snippets("pfq"), ids=str)
def test_programs_compile(snippet: Snippet, tmp_path: Path) -> None:
    lay_out(snippet, tmp_path)
    text = snippet.code
    if snippet.file is not None and snippet.file[0].isupper():
        (tmp_path / snippet.file).write_text(text, encoding="utf-8")
        text = f"import {snippet.file.removesuffix('.pfq')}\nmain = unit"
    compile_text(text, str(snippet), folder=tmp_path)


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
def test_python_is_python(snippet: Snippet) -> None:
    compile(snippet.code, str(snippet), "exec")


ALONE = [s for s in snippets("python") if not s.captures and not s.connects and not s.file]


@pytest.mark.parametrize("snippet", ALONE, ids=str)
def test_python_without_privilege_runs(snippet: Snippet, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet.code, str(snippet), "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("snippet", snippets("pycon"), ids=str)
def test_sessions_give_what_they_show(snippet: Snippet) -> None:
    session = doctest.DocTestParser().get_doctest(snippet.code, {}, str(snippet), str(snippet.page), snippet.line)
    assert session.examples
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(session, out=said.append)
    assert not said, "".join(said)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", [s for s in snippets("console") if not needs_root(s)], ids=str)
def test_commands_print_what_is_shown(snippet: Snippet, tmp_path: Path) -> None:
    lay_out(snippet, tmp_path)
    typed = commands(snippet)
    for command, found in zip(typed, run(typed, tmp_path), strict=True):
        assert command.gives(found), f"{command.line}\n{found}"


def test_there_are_examples_of_every_kind() -> None:
    readme = ROOT / "README.md"
    assert [s.captures for s in snippets("python") if s.page == readme] == [True, False]
    assert len(snippets("pfq")) >= 20
    assert len(snippets("pycon")) >= 5
    assert len(snippets("console")) >= 20
    assert len(TABLE) >= 12
    assert len(OPERATORS) >= 12


def value_of(python: str) -> Any:
    names = {name: getattr(lang, name) for name in PRIMS.names() if name.isidentifier()}
    return eval(python, {**names, "not_": lang.not_})


@pytest.mark.parametrize(("text", "python"), [*TABLE, *OPERATORS], ids=[python for _, python in [*TABLE, *OPERATORS]])
def test_text_and_python_are_the_same_program(text: str, python: str) -> None:
    value = value_of(python)
    assert isinstance(value, Expression)
    assert to_program(value) == compile_text(text)


def programs_of_the_readme() -> list[str]:
    """The lines of its first indented block, and what stands between -P and the next quote."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = text.partition("\n\n    ")[2].partition("\n\n")[0]
    return [*first.splitlines(), *(part.partition("'")[0] for part in text.split("-P '")[1:])]


def test_programs_of_the_readme_compile() -> None:
    programs = programs_of_the_readme()
    assert len(programs) >= 5
    for program in programs:
        compile_text(program.strip())


def test_the_readme_counts_right() -> None:
    assert f"\n- {len(PRIMS)} primitives" in (ROOT / "README.md").read_text(encoding="utf-8")


class TestTutorial:
    PAGE = DOCS / "tutorial.md"

    def test_the_mistake(self) -> None:
        (program,) = [snippet for snippet in snippets("pfq") if (snippet.page, snippet.file) == (self.PAGE, "edge.pfq")]
        with pytest.raises(ProgramError) as caught:
            compile_text(program.code.replace("steer_flow", "steer_flwo"), "edge.pfq")
        assert f"```text\n{caught.value}\n```" in self.PAGE.read_text(encoding="utf-8")

    def test_ways_to_choose_endpoints(self) -> None:
        programs = [program for row in cells(self.PAGE, "| program | who gets the packet |") for program in row]
        assert len(programs) >= 11
        for program in programs:
            compile_text(program)


def test_names_of_the_original_are_those_of_primitives() -> None:
    table = rows(DOCS / "coming-from-pfq.md", "| name | the original | here |")
    names = {name for row in table for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert len(names) >= 60
    assert names <= set(PRIMS.names())


def linked(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    assert [target for target in linked(page) if not (page.parent / target).exists()] == []
