"""The pieces of code in the README and the manual."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| (`+) ?(.+?) ?\1 \| `(.+?)` \|$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block, and where its first line is."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def captures(self) -> bool:
        """It captures from a device, which needs the privilege."""
        return "pfq.capture(" in self.code


def snippets(language: str) -> list[Snippet]:
    """All blocks in a language."""
    return [
        Snippet(page, text.count("\n", 0, found.start(2)) + 1, language, found[2])
        for page in PAGES
        if "_build" not in page.parts
        for text in [page.read_text(encoding="utf-8")]
        for found in _BLOCK.finditer(text)
        if found[1] == language
    ]


def pairs(page: Path, head: str) -> list[tuple[str, str]]:
    """The rows of the table with this head, whose two cells are code."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n{head}\n")
    table = rest.partition("\n\n")[0]
    return [(row[2].replace("\\|", "|"), row[3].replace("\\|", "|")) for row in _ROW.finditer(table)]
