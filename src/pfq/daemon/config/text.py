"""The text of a configuration: TOML, and the error that says all that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pfq.daemon.config.positions import Places
from pfq.daemon.config.values import Faults
from pfq.errors import ConfigErrors, FileAccessError, PfqError, UsageError
from pfq.source import Source, Span

SHORTLY: Final = 10
"""Faults that are named in one message."""


@dataclass(frozen=True, slots=True)
class Text:
    """A configuration half read: its values, and the faults found so far."""

    faults: Faults
    values: dict[str, Any]


def refused(path: Path, faults: Sequence[PfqError]) -> ConfigErrors:
    """All faults as one error: those of the file itself by place, then those of others."""
    faults = sorted(faults, key=partial(_order, str(path)))
    texts = [f"line {each.span.line}: {each.message}" if each.span else each.message for each in faults[:SHORTLY]]
    short = "; ".join([*texts, "and others"] if len(faults) > SHORTLY else texts)
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    hint = f"`pfqd --check -c {path}` shows each with its place"
    return ConfigErrors(f"{path} has {count}: {short}", hint=hint, faults=faults)


def parsed(path: Path) -> Text:
    """Reads a file; raises FileAccessError, or ConfigErrors when it is not TOML."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}", hint="pfqd -c FILE names another one") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from None
    text = text.replace("\r\n", "\n")
    source = Source(str(path), text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise refused(path, [_not_toml(source, str(error))]) from None
    return Text(Faults(Places(source)), values)


def _not_toml(source: Source, message: str) -> UsageError:
    """What tomllib says, with the place that it has in words."""
    what, _, where = message.partition(" (at ")
    lines = source.text.split("\n")
    if found := re.match(r"line (\d+), column (\d+)", where):
        line, column = int(found[1]), int(found[2])
        start = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
    else:
        start = len(source.text)
    hint = "texts stand in quotes, lists in brackets: https://toml.io"
    return UsageError(f"this is not TOML: {what}", Span(source, start, start + 1), hint)


def _order(name: str, fault: PfqError) -> tuple[bool, int, int]:
    span = fault.span
    return (True, 0, 0) if span is None else (span.source.name != name, span.line, span.column)
