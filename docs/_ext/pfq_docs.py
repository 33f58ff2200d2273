"""The parts of the manual that come from the source: tables, errors, help texts, and docstrings.

{pfq-primitives}      the language reference, from the table of primitives
{pfq-constants}       the names of constants
{pfq-library}         the modules of the library
{pfq-operators}       the infix operators
{pfq-errors}          the errors, from their classes
{pfq-help} COMMAND    what `pfq COMMAND --help` prints
{pfq-layout} NAME     a structure of the shared memory: SLOT, PRODUCER or CONSUMER
{pfq-columns} [KIND]  the columns of a batch: those of the packets, or with `headers` the decoded ones
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from pygments import token
from pygments.lexer import RegexLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pfq import layout
from pfq.codegen.cost import cost
from pfq.errors import PfqError, ProgramErrors, error_classes
from pfq.lang.constants import CONSTANTS
from pfq.lang.explain import library_definition, module, primitive
from pfq.lang.lexer import KEYWORDS
from pfq.lang.modules import library_modules
from pfq.lang.operators import OPERATORS, Operator
from pfq.lang.prims import PRIMS, Prim
from pfq.lang.types import shown


class Generated(SphinxDirective):
    """Parses Markdown that `text` makes."""

    has_content = False
    optional_arguments = 1

    def text(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.text(), allow_section_headings=True)


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


class Primitives(Generated):
    """A section for each family, an entry for each primitive."""

    FAMILIES: ClassVar = {
        "predicate": "Predicates",
        "filter": "Filters",
        "property": "Properties",
        "comparison": "Comparisons",
        "combinator": "Logic of predicates",
        "control": "Control",
        "forward": "Where packets go",
        "steering": "Steering",
        "state": "Mark, state, counters and flows",
        "log": "Reports",
        "dummy": "For tests",
    }

    def text(self) -> str:
        families: dict[str, list[Prim]] = {family: [] for family in self.FAMILIES}
        for prim in PRIMS.values():
            families.setdefault(prim.family, []).append(prim)
        return "\n".join(self.section(family, prims) for family, prims in families.items())

    def section(self, family: str, prims: list[Prim]) -> str:
        heading = self.FAMILIES.get(family) or family.capitalize()
        links = ", ".join(f"[{prim.name}](#{slug(prim.name)})" for prim in prims)
        return "\n".join([f"## {heading}\n", f"{links}\n", *map(self.entry, prims)])

    @staticmethod
    def entry(prim: Prim) -> str:
        price = cost(prim)
        found = primitive(prim, (price.instructions, price.reads))
        aliases = f" Also called {', '.join(f'`{alias}`' for alias in found['aliases'])}." if found["aliases"] else ""
        return (
            f"### {found['name']}\n\n`{found['name']} :: {found['type']}`\n\n{found['meaning']}{aliases}\n\n"
            f"```pfq\n{found['example']}\n```\n\n"
            f"Instructions: {found['instructions']}. Reads: {found['reads']}.\n"
        )


def slug(name: str) -> str:
    """The anchor of a heading."""
    return name.lower()


class Constants(Generated):
    """The flow keys and the truths."""

    def text(self) -> str:
        rows = ((f"`{name}`", f"`{shown(kind)}`", f"`{value:#x}`") for name, (kind, value) in CONSTANTS.items())
        return table(("name", "type", "value"), rows)


class Library(Generated):
    """A section for each module of the library that comes with PFQ."""

    def text(self) -> str:
        return "\n".join(map(self.section, library_modules()))

    @staticmethod
    def section(name: str) -> str:
        found = module(name)
        definitions = [library_definition(each.split(" :: ")[0]) for each in found["defines"]]
        rows = ((f"`{' '.join(each['definition'].split())}`", f"`{each['type']}`") for each in definitions)
        return f"### Module {name}\n\n{found['meaning']}\n\n{table(('definition', 'type'), rows)}\n"


class Operators(Generated):
    """From the loosest to the tightest."""

    MEANING: ClassVar = {
        ">->": "then",
        "$": "application: `f $ x` is `f x`, and what follows is one argument",
        "+": "constants: sum",
        "-": "constants: difference",
        "*": "constants: product",
        ".|.": "constants: bitwise or",
        "<>": "constants: bitwise or",
    }

    def text(self) -> str:
        rows = sorted(OPERATORS.values(), key=lambda operator: operator.power)
        head = ("operator", "binds", "stands for", "several in a row")
        return table(head, ((self.sign(o), str(o.power), self.meaning(o), "yes" if o.chains else "no") for o in rows))

    @staticmethod
    def sign(operator: Operator) -> str:
        return f"`` `{operator.text}` ``" if operator.text[0].isalpha() else f"`{operator.text}`"

    def meaning(self, operator: Operator) -> str:
        return self.MEANING.get(operator.text) or f"`{operator.prim}`" + ", the number first" * operator.mirrored


class Errors(Generated):
    """One section for each class, in the order of the tree."""

    def text(self) -> str:
        classes = (cls for cls in error_classes() if cls is not ProgramErrors)
        return "\n".join(map(self.entry, sorted(classes, key=lambda cls: cls.code)))

    @staticmethod
    def entry(cls: type[PfqError]) -> str:
        parent = cls.__bases__[0]
        kind = f"A `{parent.__name__}`. " if issubclass(parent, PfqError) else ""
        doc = inspect.cleandoc(cls.__doc__ or "")
        if cls is PfqError:
            doc = doc.split("\n")[0]  # its attributes are explained in the page
        return (
            f"({cls.code.lower()})=\n## {cls.code} {cls.__name__}\n\n{doc}\n\n"
            f"{kind}Exit status of the command line: {cls.exit_status}.\n"
        )


class Help(Generated):
    """The help text of the command line itself."""

    def text(self) -> str:
        import click

        from pfq.cli import commands

        names = self.arguments
        command: Any = commands
        context = click.Context(command, info_name="pfq", max_content_width=100, terminal_width=100)
        for name in names:
            command = command.get_command(context, name)
            context = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
        return f"```text\n{command.get_help(context)}\n```"


class Layout(Generated):
    """One structure of `pfq.layout`."""

    required_arguments = 1
    optional_arguments = 0

    def text(self) -> str:
        members = getattr(layout, self.arguments[0])
        return table(
            ("offset", "type", "field", "meaning"),
            ((str(m.offset), f"u{m.bits}", f"`{m.name}`", m.doc) for m in members),
        )


class Columns(Generated):
    """The columns of batches."""

    def text(self) -> str:
        return self.headers() if self.arguments == ["headers"] else self.packets()

    def headers(self) -> str:
        from pfq.columns.packets import HeaderColumn, PacketColumns

        kinds = {member.name: f"uint{member.bits}" for member in layout.HEADERS}
        kinds |= {"src": "16 uint8", "dst": "16 uint8", "is_fragment": "bool"}
        columns = ((name, column) for name, column in vars(PacketColumns).items() if isinstance(column, HeaderColumn))
        rows = ((f"`{name}`", kinds[name], column.__doc__ or "") for name, column in columns)
        return table(("column", "type", "meaning"), rows)

    def packets(self) -> str:
        from pfq.ring.batch import Batch, Column

        bits = {member.name: f"uint{member.bits}" for member in layout.SLOT}
        return table(
            ("column", "type", "meaning"),
            (
                (f"`{name}`", bits.get(name, "uint8, two dimensions"), column.__doc__ or "")
                for name, column in vars(Batch).items()
                if isinstance(column, Column)
            ),
        )


# docstrings

_ENTRY = re.compile(r"^(\w[\w, ]*?):? {2,}(\S.*)$")


def rewrite(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Makes reStructuredText of a docstring: tables of `name  meaning` lines, and indented examples."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).splitlines()


def _paragraph(text: str) -> str:
    rows = text.split("\n")
    if all(row.startswith("    ") for row in rows):
        return ".. code-block:: python\n\n" + text
    if not _ENTRY.match(rows[0]):
        return text
    found: list[str] = []
    after = False
    for row in rows:
        if entry := _ENTRY.match(row):
            found += [f"``{entry[1].strip()}``", f"    {entry[2]}"]
        elif row.startswith(" "):
            found.append(f"    {row.strip()}")
        else:
            found += [row] if after else ["", row]
            after = True
    return "\n".join(found)


def without_signature(app: Sphinx, what: str, name: str, *_: object) -> tuple[str, None] | None:
    """How a class is called stands at its `__init__`, where users call it at all."""
    return ("", None) if what == "class" else None


class PfqLexer(RegexLexer):
    """Colours for pfq-lang."""

    name = "pfq-lang"
    aliases: ClassVar = ["pfq"]
    tokens: ClassVar = {
        "root": [
            (r"--[^\n]*", token.Comment.Single),
            (r"\{-[\s\S]*?-\}", token.Comment.Multiline),
            (r'"[^"\n]*"', token.String),
            (rf"\b({'|'.join(sorted(KEYWORDS))})\b", token.Keyword),
            (r"[0-9][0-9A-Fa-fx.:/_]*", token.Number),
            (r"[0-9A-Fa-f]*::?[0-9A-Fa-f:/]+", token.Number),
            (r"[a-z_][\w']*", token.Name),
            (r"[A-Z][\w.']*", token.Name.Class),
            (r"[!#$%&*+./<=>?@^|~:\-\\`]+", token.Operator),
            (r"[()\[\]{},;]", token.Punctuation),
            (r"\s+", token.Whitespace),
        ]
    }


def setup(app: Sphinx) -> dict[str, Any]:
    for name, directive in {
        "pfq-primitives": Primitives,
        "pfq-constants": Constants,
        "pfq-library": Library,
        "pfq-operators": Operators,
        "pfq-errors": Errors,
        "pfq-help": Help,
        "pfq-layout": Layout,
        "pfq-columns": Columns,
    }.items():
        app.add_directive(name, directive)
    app.add_lexer("pfq", PfqLexer)
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-process-signature", without_signature)
    return {"parallel_read_safe": True}
