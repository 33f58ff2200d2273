"""What the README and the manual show works: every program compiles, every example without privilege runs."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest
from support.documents import ROOT, Snippet, pairs, snippets

from pfq import lang
from pfq.errors import ProgramError
from pfq.lang.compile import compile_text
from pfq.lang.edsl import Expression, to_program
from pfq.lang.prims import PRIMS

GUIDE = ROOT / "docs/language/guide.md"
TABLE = pairs(GUIDE, "| text | Python |")


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples name files as seen from there."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("snippet", snippets("pfq"), ids=str)
def test_programs_compile(snippet: Snippet) -> None:
    compile_text(snippet.code, str(snippet))


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
def test_python_is_python(snippet: Snippet) -> None:
    compile(snippet.code, str(snippet), "exec")


@pytest.mark.parametrize("snippet", [s for s in snippets("python") if not s.captures], ids=str)
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


def test_there_are_examples_of_every_kind() -> None:
    readme = ROOT / "README.md"
    assert [s.captures for s in snippets("python") if s.page == readme] == [True, False]
    assert len(snippets("pfq")) >= 5
    assert len(snippets("pycon")) >= 3
    assert len(TABLE) >= 12


def value_of(python: str) -> Any:
    names = {name: getattr(lang, name) for name in PRIMS.names() if name.isidentifier()}
    return eval(python, names)


@pytest.mark.parametrize(("text", "python"), TABLE, ids=[python for _, python in TABLE])
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


def test_the_mistake_of_the_tutorial() -> None:
    page = ROOT / "docs/tutorial.md"
    (program,) = [snippet for snippet in snippets("pfq") if snippet.page == page]
    with pytest.raises(ProgramError) as caught:
        compile_text(program.code.replace("steer_flow", "steer_flwo"), "edge.pfq")
    assert f"```text\n{caught.value}\n```" in page.read_text(encoding="utf-8")


def linked(page: Path) -> list[str]:
    import re

    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    assert [target for target in linked(page) if not (page.parent / target).exists()] == []
