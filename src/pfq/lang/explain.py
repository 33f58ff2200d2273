"""Programs, primitives and modules of the library in words, for `pfq explain` and the manual."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pfq.lang.faults import Faults
from pfq.lang.infer import infer_module
from pfq.lang.modules import Loader, Module, library_modules, library_names, read_source
from pfq.lang.operators import LOGIC
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Prim
from pfq.lang.program import Call, Chain, Program, Value
from pfq.lang.show import show
from pfq.lang.types import Type, shown


def describe(program: Program) -> list[str]:
    """One line for each call, in the order in which they are met; what is inside a call is indented.

    Connectives of predicates have no line of their own: the call around them shows them.
    """
    lines = list(_lines(program.main, 0))
    return lines or ["unit: Passes every packet unchanged."]


def _lines(value: Value, depth: int) -> Iterator[str]:
    match value:
        case Chain(calls):
            for call in calls:
                yield from _lines(call, depth)
        case Call(prim, arguments):
            connective = prim.name in LOGIC or prim.name == "not"
            if not connective:
                yield f"{'  ' * depth}{show(value)}: {prim.doc}"
            for argument in arguments:
                yield from _lines(argument, depth if connective else depth + 1)


def primitive(prim: Prim, cost: tuple[int, str] | None = None) -> dict[str, Any]:
    """What there is to say about a primitive.

    cost  eBPF instructions, and what of the packet they read
    """
    found = {
        "name": prim.name,
        "type": prim.type,
        "kind": prim.kind.value,
        "family": prim.family,
        "meaning": prim.doc,
        "example": prim.example,
        "aliases": list(prim.aliases),
    }
    return found if cost is None else {**found, "instructions": cost[0], "reads": cost[1]}


def module(name: str) -> dict[str, Any]:
    """What a module of the library is for, and what it defines with which types."""
    found, types = _inferred(name)
    comment = found.source.text.partition("\n\n")[0]
    return {
        "module": name,
        "meaning": "\n".join(line.removeprefix("--").strip() for line in comment.splitlines()),
        "defines": [f"{each} :: {shown(kind)}" for each, kind in _in_order(found, types)],
    }


def library_definition(name: str) -> dict[str, Any]:
    """A definition of a module of the library."""
    found, types = _inferred(library_names()[name])
    definition = next(each for each in found.file.definitions.order if each.name == name)
    return {
        "name": name,
        "type": shown(types[name]),
        "definition": definition.span.to(definition.body.span).text,
        "module": library_names()[name],
    }


@cache
def _inferred(name: str) -> tuple[Module, dict[str, Type]]:
    """A module of the library and the types of its definitions."""
    path = library_modules()[name]
    loader = Loader(Faults())
    found = loader.load(read_source(path), path, path.parent)
    types: dict[Module, dict[str, Type]] = {}
    for each in loader.modules:
        types[each] = infer_module(each, types, PRIMS, loader.faults)
    return found, types[found]


def _in_order(module: Module, types: dict[str, Type]) -> list[tuple[str, Type]]:
    definitions = sorted(module.file.definitions.order, key=lambda each: each.span.start)
    return [(each.name, types[each.name]) for each in definitions]
