"""Memory that is used again as soon as nobody looks at it any more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from pfq.columns.records import Array

_KEPT: Final = 8
"""Arrays that a pool remembers; further ones it forgets as it gives them out."""
_UNUSED: Final = 3
"""References to an array that nobody uses: of the pool, of the loop that looks for it, of the call that counts."""


class Pool:
    """Arrays of one kind. One is free when nothing refers to it: no view of it, nor what was built on one."""

    def __init__(self, make: Callable[[], Array]) -> None:
        self._make = make
        self._arrays: list[Array] = []

    def take(self) -> Array:
        """An array with whatever contents."""
        for array in self._arrays:
            if sys.getrefcount(array) == _UNUSED:
                return array
        array = self._make()
        if len(self._arrays) < _KEPT:
            self._arrays.append(array)
        return array
