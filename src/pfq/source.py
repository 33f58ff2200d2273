"""Places in a program text: spans, excerpts with a caret, and "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

EXCERPT_COLUMNS = 160


@dataclass(frozen=True, slots=True)
class Source:
    """One program text with the name it is reported under."""

    name: str
    text: str = field(repr=False)

    def line_text(self, line: int) -> str:
        """Line number `line` (from 1) without its end; empty past the end."""
        lines = self.text.split("\n", line)
        return lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else ""

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column), both from 1, of a character offset."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))

    def excerpt(self) -> list[str]:
        """The line of the span and, below it, a caret for each character of it on that line."""
        line, column = self.source.position(self.start)
        text = self.source.line_text(line)
        first = max(0, column - EXCERPT_COLUMNS // 2) if len(text) > EXCERPT_COLUMNS else 0
        shown = "".join(map(_visible, text[first : first + EXCERPT_COLUMNS]))
        width = min(max(1, self.end - self.start), max(1, len(shown) - (column - 1 - first)))
        gutter = f"{line:>5} | "
        return [gutter + shown, " " * (len(gutter) - 2) + "| " + " " * (column - 1 - first) + "^" * width]


def _visible(character: str) -> str:
    """What an excerpt shows for a character: control characters must not reach the terminal."""
    if character.isprintable():
        return character
    return " " if character == "\t" else "\ufffd"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the known names nearest to `name`, or None when none is near."""
    near = get_close_matches(name, sorted(set(known)), n=3, cutoff=0.7)
    if not near:
        return None
    return "did you mean " + " or ".join(f"`{n}`" for n in near) + "?"
