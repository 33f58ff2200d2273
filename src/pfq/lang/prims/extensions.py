"""Primitives that installed packages add: their entry points, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint, entry_points

from pfq.errors import ExtensionError, ProgramError
from pfq.lang.constants import CONSTANTS
from pfq.lang.lexer import KEYWORDS
from pfq.lang.prims.table import Prim, Table, may_be_added
from pfq.lang.typeparser import type_of


class _Unusable(Exception):
    """Why the rows of a package cannot be used, in words."""


def installed(group: str, taken: Collection[str]) -> tuple[Table, tuple[ExtensionError, ...]]:
    """The rows that packages add, and what is wrong with the packages whose rows are left out.

    group  of the entry points; each names a sequence of `Prim`, as in `voip = "pfq_voip:ROWS"`
    taken  names that are in the table already
    """
    table = Table()
    faults: list[ExtensionError] = []
    for entry in _entries(group, faults):
        try:
            table.add(*_rows(entry, {*taken, *table.names(), *CONSTANTS}))
        except (Exception, SystemExit) as error:  # whatever a foreign package does must not spoil the built-in rows
            faults.append(_fault(entry, error))
    return table, tuple(faults)


def _entries(group: str, faults: list[ExtensionError]) -> list[EntryPoint]:
    """The entry points in an order that does not depend on that of the packages."""
    try:
        return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))
    except Exception as error:
        message = f"the list of installed packages, which may add primitives, cannot be read: {_described(error)}"
        faults.append(ExtensionError(message))
        return []


def _rows(entry: EntryPoint, taken: set[str]) -> Sequence[Prim]:
    rows = entry.load()
    if not isinstance(rows, Sequence) or not all(isinstance(row, Prim) for row in rows):
        raise _Unusable(f"`{entry.value}` is not a sequence of `Prim`")
    for row in rows:
        if reason := _refusal(row, taken):
            raise _Unusable(f"its primitive `{row.name}` {reason}")
        taken |= {row.name, *row.aliases}
    return rows


def _refusal(row: Prim, taken: set[str]) -> str | None:
    """What is wrong with a row, as the rest of a sentence."""
    for name in (row.name, *row.aliases):
        if not may_be_added(name) or name in KEYWORDS:
            return (
                f"cannot be called `{name}`: names begin with a small letter and are names in Python without a last `_`"
            )
        if name in taken:
            return f"cannot be called `{name}`: something else has that name"
    for what in ("doc", "example"):
        if not isinstance(getattr(row, what), str):
            return f"has no `{what}`"
    for what in ("run", "lower"):
        if not callable(getattr(row, what)):
            return f"has no function `{what}`"
    try:
        _ = type_of(row.type), row.kind
    except (ProgramError, ValueError):
        return f"has no type that a primitive can have: `{row.type}`"
    return None


def _fault(entry: EntryPoint, error: BaseException) -> ExtensionError:
    """What is wrong, with the names of the entry point and of its package."""
    package = f"the package `{entry.dist.name}` {entry.dist.version}" if entry.dist else "a package"
    reason = str(error) if isinstance(error, _Unusable) else _described(error)
    return ExtensionError(
        f"the primitives `{entry.name} = {entry.value}` of {package} cannot be used: {reason}",
        hint="repair or remove that package; all other primitives work without it",
    )


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
