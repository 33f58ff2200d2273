"""Programs that somebody else wrote: text or JSON, read without touching any file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pfq.lang.program import Program

_FILES: Final = ContextVar("_FILES", default=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """A program as a client of a daemon sends it.

    What it names is looked for in the library only: the files of the process that compiles it are not the sender's.

    text  pfq-lang, or the JSON form
    name  what errors call it
    """

    text: str
    name: str = "<program>"
    is_json: bool = False

    def program(self) -> Program:
        """The program; raises ProgramError or ProgramErrors."""
        from pfq.lang.compile import compile_text
        from pfq.lang.jsonform import from_json

        with no_files():
            return from_json(self.text) if self.is_json else compile_text(self.text, self.name)


@contextmanager
def no_files() -> Iterator[None]:
    """Inside, programs have no sets of prefixes from files."""
    token = _FILES.set(False)
    try:
        yield
    finally:
        _FILES.reset(token)


def may_read_files() -> bool:
    """Whether a program may name a file."""
    return _FILES.get()
