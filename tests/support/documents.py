"""The pieces of code in the README and the manual."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:--|#) ([\w/-]+\.(?:pfq|py|txt))\n")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


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
        return any(call in self.code for call in ("pfq.capture(", "pfq.Engine("))

    @property
    def connects(self) -> bool:
        """It asks pfqd."""
        return "pfq.connect(" in self.code

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


def rows(page: Path, head: str) -> list[str]:
    """The lines of the table with this head."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n{head}\n")
    return rest.partition("\n\n")[0].splitlines()[1:]


def cells(page: Path, head: str) -> list[list[str]]:
    """The pieces of code in each row of the table with this head, in order."""
    return [[found[1].strip(" ").replace("\\|", "|") for found in _CODE.findall(row)] for row in rows(page, head)]


def pairs(page: Path, head: str) -> list[tuple[str, str]]:
    """The rows of such a table whose cells are two pieces of code."""
    return [(row[0], row[1]) for row in cells(page, head) if len(row) == 2]
