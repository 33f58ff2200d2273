"""`pfq functions`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pfq.cli.explain import entry, lines
from pfq.cli.output import json_option, print_json, print_table
from pfq.errors import ExtensionError, UsageError

if TYPE_CHECKING:
    from pfq.lang.prims.table import Prim


@click.command()
@click.option("-s", "--search", metavar="WORD", help="Explain those with WORD in name, aliases, family or meaning.")
@json_option
def command(search: str | None, as_json: bool) -> None:
    """List the primitives of the language with their types.

    A search also finds what modules of the library define; `pfq explain Services` lists all of one.
    """
    from pfq.lang.prims import PRIMS

    prims = [prim for prim in PRIMS.values() if search is None or matches(prim, search.lower())]
    found, faults = [], list(PRIMS.broken())
    for prim in prims:
        try:
            found.append(entry(prim))
        except ExtensionError as error:
            faults.append(error)
    if search is not None:
        found += in_library(search.lower())
    for fault in faults:
        print(f"warning[{fault.code}]: {fault.message}", file=sys.stderr)
    if not found:
        raise UsageError(f"no primitive has `{search}` in its name or meaning", hint="`pfq functions` lists them all")
    if as_json:
        print_json(found)
    elif search is not None:
        print("\n\n".join("\n".join(lines(record)) for record in found))
    else:
        rows = [(record["name"], record["type"], record["meaning"]) for record in found]
        print_table(f"{len(rows)} primitives", ("name", "type", "meaning"), rows)


def matches(prim: Prim, word: str) -> bool:
    return any(word in text.lower() for text in (prim.name, prim.family, prim.doc, *prim.aliases))


def in_library(word: str) -> list[dict[str, Any]]:
    """The definitions of the library that a word finds."""
    from pfq.lang.explain import library_definition
    from pfq.lang.modules import library_names

    return [library_definition(name) for name in library_names() if word in name]
