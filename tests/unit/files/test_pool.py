from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pfq.files.pool import Pool


def pool() -> Pool:
    return Pool(lambda: np.empty(16, np.uint8))


def test_an_array_is_used_again_once_nobody_has_it() -> None:
    arrays = pool()
    first = arrays.take()
    identity = id(first)
    second = arrays.take()
    assert second is not first
    del first
    assert id(arrays.take()) == identity


VIEWS = {
    "slice": lambda array: array[3:5],
    "memoryview": memoryview,
    "other type": lambda array: array.view(np.uint16)[:2],
    "view of a view": lambda array: array[::2][1:],
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_a_view_keeps_its_array(make: Callable[[Any], Any]) -> None:
    arrays = pool()
    view = make(arrays.take())
    assert not np.shares_memory(arrays.take(), np.asarray(view))


def test_many_are_given() -> None:
    arrays = pool()
    held = [arrays.take() for _ in range(50)]
    assert len({id(array) for array in held}) == 50
