"""The tree of errors: its drawing, codes and exit statuses, and how an error is written."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from pfq import errors
from pfq.errors import PfqError, ProgramErrors, TypeMismatchError, UnknownNameError, VerifierError, error_classes
from pfq.source import Source, Span

SOURCE = Source("edge.pfq", "main = ip >->\n  steer_flwo\n")
SPAN = Span(SOURCE, 16, 26)


def drawn() -> list[tuple[int, str, str | None]]:
    """Depth, name and code of each class in the drawing."""
    rows = re.finditer(r"^( +)(\w+Errors?)\b.*?(PFQ\d{3})?\)?$", inspect.getdoc(errors) or "", re.MULTILINE)
    return [(len(row[1]) // 2 - 2, row[2], row[3]) for row in rows]


def test_the_drawing_is_the_tree() -> None:
    parents: list[str] = []
    tree = {cls.__name__: cls for cls in error_classes()}
    assert drawn()[0] == (0, "PfqError", None)
    assert {name for _, name, _ in drawn()} == set(tree)
    for depth, name, code in drawn():
        parents[depth:] = [name]
        if depth and name != "ProgramErrors":
            assert tree[name].__bases__[0].__name__ == parents[depth - 1]
        if code:
            assert tree[name].code == code


def test_every_class_has_a_code_of_its_own() -> None:
    codes: dict[str, str] = {}
    for cls in error_classes():
        assert re.fullmatch(r"PFQ\d{3}", cls.code)
        if cls is not ProgramErrors:  # several ProgramErrors
            assert codes.setdefault(cls.code, cls.__name__) == cls.__name__


def test_codes_are_grouped_by_parent() -> None:
    for cls in error_classes():
        if cls is not PfqError:
            parent: Any = cls.__bases__[0]
            assert parent is PfqError or cls.code[:4] == parent.code[:4]


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in error_classes()])
def test_every_class_has_a_page(cls: type[PfqError]) -> None:
    assert cls.__doc__
    assert cls.__doc__.strip().split("\n")[0].endswith((".", "not"))
    assert "__doc__" in vars(cls)


def test_exit_statuses() -> None:
    statuses = {cls.__name__: cls.exit_status for cls in error_classes()}
    assert statuses["TypeMismatchError"] == statuses["UsageError"] == statuses["FileAccessError"] == 1
    assert statuses["VerifierError"] == statuses["AttachConflictError"] == statuses["DeviceGoneError"] == 2
    assert statuses["NoPrivilegeError"] == statuses["DeviceMissingError"] == statuses["KernelTooOldError"] == 3
    assert statuses["InternalError"] == 70


def test_an_error_shows_place_excerpt_and_hint() -> None:
    error = UnknownNameError("unknown function `steer_flwo`", SPAN, "did you mean `steer_flow`?")
    assert str(error) == (
        "edge.pfq:2:3: error[PFQ103]: unknown function `steer_flwo`\n"
        "    2 |   steer_flwo\n"
        "      |   ^^^^^^^^^^\n"
        "  hint: did you mean `steer_flow`?"
    )


def test_an_error_without_a_place() -> None:
    assert str(PfqError("it failed")) == "error[PFQ000]: it failed"


def test_notes_stand_between_excerpt_and_hint() -> None:
    error = TypeMismatchError("no", None, "do this", [(Span(SOURCE, 0, 4), "the first time")])
    assert str(error) == (
        "error[PFQ104]: no\nedge.pfq:1:1: note: the first time\n    1 | main = ip >->\n      | ^^^^\n  hint: do this"
    )
    assert error.notes == ((Span(SOURCE, 0, 4), "the first time"),)


def test_several_errors_are_shown_one_after_another() -> None:
    first, second = UnknownNameError("one"), TypeMismatchError("two")
    both = ProgramErrors([first, second])
    assert list(both) == [first, second]
    assert str(both) == "error[PFQ103]: one\n\nerror[PFQ104]: two"
    assert both.message == "2 errors"


def test_the_verifiers_log_is_kept() -> None:
    assert VerifierError("refused", log="R1 invalid").log == "R1 invalid"
    assert VerifierError("refused").log == ""
