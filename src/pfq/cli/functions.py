"""`pfq functions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pfq.cli.output import json_option, print_json, print_table
from pfq.errors import UsageError

if TYPE_CHECKING:
    from pfq.lang.prims.table import Prim


@click.command()
@click.option("-s", "--search", metavar="WORD", help="Only those with WORD in name, aliases, family or meaning.")
@json_option
def command(search: str | None, as_json: bool) -> None:
    """List the primitives of the language with their types."""
    from pfq.lang.prims import PRIMS

    found = [prim for prim in PRIMS.values() if search is None or matches(prim, search.lower())]
    if search and not found:
        raise UsageError(f"no primitive has `{search}` in its name or meaning", hint="`pfq functions` lists them all")
    if as_json:
        print_json([as_record(prim) for prim in found])
    else:
        rows = [(prim.name, prim.type, prim.doc) for prim in found]
        print_table(f"{len(rows)} primitives", ("name", "type", "meaning"), rows)


def matches(prim: Prim, word: str) -> bool:
    return any(word in text.lower() for text in (prim.name, prim.family, prim.doc, *prim.aliases))


def as_record(prim: Prim) -> dict[str, object]:
    return {
        "name": prim.name,
        "type": prim.type,
        "kind": prim.kind.value,
        "family": prim.family,
        "doc": prim.doc,
        "example": prim.example,
        "aliases": list(prim.aliases),
    }
