"""The pieces of code in the README and the manual."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:--|#) ([\w/-]+\.(?:pfq|py|txt))\n")
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

    @property
    def file(self) -> str | None:
        """The file whose text it is: the first line is a comment with its name."""
        found = _FILE.match(self.code)
        return found[1] if found else None


def blocks(page: Path) -> list[Snippet]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2]) for found in _BLOCK.finditer(text)
    ]


def snippets(language: str) -> list[Snippet]:
    """All blocks in a language."""
    pages = (page for page in PAGES if "_build" not in page.parts)
    return [block for page in pages for block in blocks(page) if block.language == language]


def pairs(page: Path, head: str) -> list[tuple[str, str]]:
    """The rows of the table with this head, whose two cells are code."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n{head}\n")
    table = rest.partition("\n\n")[0]
    return [(row[2].replace("\\|", "|"), row[3].replace("\\|", "|")) for row in _ROW.finditer(table)]
