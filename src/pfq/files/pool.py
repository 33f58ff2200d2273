"""Memory that is used again as soon as nobody looks at it any more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import numpy as np

from pfq.columns.records import Array

_KEPT: Final = 8
"""Arrays that a pool remembers; further ones it forgets as it gives them out."""


def _unused(arrays: list[Array]) -> Array | None:
    """One of them that nothing else refers to."""
    for array in arrays:
        if sys.getrefcount(array) == _UNUSED:
            return array
    return None


def _references(arrays: list[Array]) -> int:
    """What `_unused` counts for an array that nobody uses: those of the pool, of its loop and, before Python 3.14, of
    the call that counts."""
    for array in arrays:
        return sys.getrefcount(array)
    return 0


_UNUSED: Final = _references([np.empty(0)])


class Pool:
    """Arrays of one kind. One is free when nothing refers to it: no view of it, nor what was built on one."""

    def __init__(self, make: Callable[[], Array]) -> None:
        self._make = make
        self._arrays: list[Array] = []

    def take(self) -> Array:
        """An array with whatever contents."""
        found = _unused(self._arrays)
        if found is not None:
            return found
        array = self._make()
        if len(self._arrays) < _KEPT:
            self._arrays.append(array)
        return array
