"""Packages that are used when they are there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pfq.errors import MachineError


def package(name: str, extra: str) -> Any:
    """An optional package, imported.

    extra  the extra of PFQ's own package that installs it
    Raises MachineError when it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MachineError(
            f"this needs the Python package `{name}`, which cannot be imported: {error}",
            hint=f'pip install "pfq[{extra}]"',
        ) from None
