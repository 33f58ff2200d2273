"""Whole error messages, word for word: the program in tests/lang/errors/X.pfq, the messages in X.expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pfq.errors import ProgramError
from pfq.lang.compile import compile_file

PROGRAMS = sorted((Path(__file__).parents[2] / "lang" / "errors").glob("*.pfq"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_message(path: Path, golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(ProgramError) as caught:
        compile_file(path)
    golden(path.with_suffix(".expected"), str(caught.value).replace(f"{path.parent}/", "") + "\n")
