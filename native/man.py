"""Writes the manual pages of the C library, from the comments of its headers.

man.py pfq.h ring.h ... FOLDER

A comment that begins with `page: NAME - what it is about` begins a page; what is declared behind it belongs to it,
each function with the comment in front of it. Every other function of a page becomes a link to it. The comment at the
head of the first header is the page `pfq`, which lists them all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTION = "3"
BETWEEN_MARKS = re.compile(r"/\* declarations: begin \*/\n(.*)/\* declarations: end \*/", re.DOTALL)
HEAD = re.compile(r"/\*\n \* (libpfq: .*?)\n \*/\n#ifndef", re.DOTALL)
PIECE = re.compile(r"/\*(?P<comment>.*?)\*/|(?P<code>[a-z](?:[^;{]*\{.*?^\})?[^;{]*;)", re.DOTALL | re.MULTILINE)
PAGE = re.compile(r"page: (\w+) - (.+)")
FUNCTION = re.compile(r"\b(pfq_\w+)\([^;]*\);\Z", re.DOTALL)
VERSION = re.compile(r'#define PFQ_VERSION "(.+)"')


@dataclass
class Declared:
    """A declaration and the comment in front of it."""

    code: str
    comment: str

    @property
    def function(self) -> str | None:
        found = FUNCTION.search(self.code)
        return found[1] if found and not self.code.startswith("typedef") else None


@dataclass
class Page:
    """A page with its declarations."""

    name: str
    about: str
    header: str
    text: str
    declared: list[Declared] = field(default_factory=list)

    @property
    def functions(self) -> list[str]:
        return [name for each in self.declared if (name := each.function)]


def pages_of(header: Path) -> Iterator[Page]:
    """The pages of a header."""
    marked = BETWEEN_MARKS.search(header.read_text(encoding="utf-8"))
    if not marked:
        raise SystemExit(f"{header}: no `declarations: begin` and `end` marks")
    page, comment = None, ""
    for piece in PIECE.finditer(marked[1]):
        if piece["comment"] is not None:
            comment = plain(piece["comment"])
            if begun := PAGE.match(comment):
                if page:
                    yield page
                page = Page(begun[1], begun[2], header.name, comment[begun.end() :].strip("\n"))
                comment = ""
        elif page:
            page.declared.append(Declared(piece["code"], comment))
            comment = ""
    if page:
        yield page


def plain(comment: str) -> str:
    """The text of a comment without its stars."""
    lines = (re.sub(r"^ ?\* ?", "", line) for line in comment.strip().splitlines())
    return "\n".join(line.rstrip() for line in lines)


def escaped(text: str) -> str:
    """Text as troff takes it for what it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("µ", "\\(mc")
    return re.sub(r"^\.", r"\\&.", text, flags=re.MULTILINE)


def filled(text: str) -> Iterator[str]:
    """Paragraphs; what is indented stays as it is."""
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield from (".PP", *code_block(re.sub(r"^    ", "", paragraph, flags=re.MULTILINE)))
        elif heading := re.match(r"(Errors|Threads|Processes)\. ", paragraph):
            yield f".SH {heading[1].upper()}"
            yield escaped(paragraph[heading.end() :])
        else:
            yield from (".PP", escaped(paragraph))


def code_block(code: str) -> Sequence[str]:
    return (".RS 4", ".nf", escaped(code), ".fi", ".RE")


def top(name: str, about: str, version: str, names: Sequence[str] = ()) -> Iterator[str]:
    yield f'.TH {name.upper()} {SECTION} "" "libpfq {version}" "PFQ"'
    yield ".SH NAME"
    # One hyphen with a backslash, between the names and what they are about: so programs find them.
    yield f"{', '.join([name, *(each for each in names if each != name)])} \\- {escaped(about)}"


def page_text(page: Page, version: str) -> str:
    """A page about some functions."""
    lines = list(top(page.name, page.about, version, page.functions))
    lines += [".SH SYNOPSIS", ".nf", f"#include <pfq/{page.header}>", ""]
    lines += [escaped(each.code) for each in page.declared] + [".fi"]
    lines += [".SH DESCRIPTION", *filled(page.text)]
    for each in page.declared:
        if each.comment:
            what = each.function or re.sub(r"\s+", " ", each.code.partition("{")[0]).removesuffix(";").strip()
            lines += [f".SS {escaped(what)}", *list(filled(each.comment))[1:]]
    lines += [".SH ERRORS", "Functions return \\-errno;", ".BR pfq_error_last (3)", "has the sentence. See"]
    lines += [".BR pfq (3)", "for what all of them may return.", ".SH SEE ALSO", ".BR pfq (3)"]
    return "\n".join(lines) + "\n"


def overview(head: str, pages: Sequence[Page], version: str) -> str:
    """The page that leads to the others."""
    first, _, rest = head.partition("\n")
    lines = [*top("pfq", first.removeprefix("libpfq: ").rstrip("."), version)]
    lines += [
        ".SH SYNOPSIS",
        ".nf",
        "#include <pfq/pfq.h>",
        "",
        "cc ... $(pkg\\-config \\-\\-cflags \\-\\-libs libpfq)",
        ".fi",
    ]
    lines += [".SH DESCRIPTION", *filled(rest.strip("\n"))]
    lines.append(".SH FUNCTIONS")
    for page in pages:
        lines += [".TP", f".BR {page.name} ({SECTION})", escaped(f"{page.about}: {', '.join(page.functions)}")]
    return "\n".join(lines) + "\n"


def write(headers: Sequence[Path], folder: Path) -> None:
    """Writes all pages."""
    text = headers[0].read_text(encoding="utf-8")
    head, version = HEAD.search(text), VERSION.search(text)
    if not head or not version:
        raise SystemExit(f"{headers[0]}: no comment at its head, or no version")
    pages = [page for header in headers for page in pages_of(header)]
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        (folder / f"{page.name}.{SECTION}").write_text(page_text(page, version[1]), encoding="utf-8")
        for name in page.functions:
            if name != page.name:
                (folder / f"{name}.{SECTION}").write_text(f".so man{SECTION}/{page.name}.{SECTION}\n")
    # Last: who looks whether all is written looks for this one.
    (folder / f"pfq.{SECTION}").write_text(overview(plain(head[1]), pages, version[1]), encoding="utf-8")


if __name__ == "__main__":
    *_headers, _folder = map(Path, sys.argv[1:])
    write(_headers, _folder)
