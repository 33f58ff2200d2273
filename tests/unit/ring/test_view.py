from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.rings import FakeRings, frame_of

from pfq.errors import ViewExpiredError
from pfq.ring import Batch, Reader, View


@pytest.fixture
def batch(rings: FakeRings, reader: Reader) -> Batch:
    """Four packets of 20, 24, 28 and 32 bytes."""
    rings.publish(*(frame_of(i, size=20 + 4 * i) for i in range(4)))
    read = reader.read()
    assert read is not None
    return read


USES: dict[str, Callable[[Any], object]] = {
    "item": lambda v: v[0],
    "slice": lambda v: v[1:],
    "mask": lambda v: v[[True, False, True, False]],
    "loop": list,
    "len": len,
    "contains": lambda v: 20 in v,
    "store": lambda v: v.__setitem__(0, 1),
    "method": lambda v: v.sum(),
    "copy method": lambda v: v.copy(),
    "attribute": lambda v: v.shape,
    "transposed": lambda v: v.T,
    "reshape": lambda v: v.reshape(2, 2),
    "operator": lambda v: v + 1,
    "mirrored operator": lambda v: 1 + v,
    "comparison": lambda v: v == 20,
    "ufunc": np.sqrt,
    "ufunc method": np.add.reduce,
    "function": np.bincount,
    "function on a list": lambda v: np.concatenate([v, v]),
    "function keyword": lambda v: np.bincount([0, 1, 2, 3], weights=v),
    "repr": repr,
    "str": str,
    "format": lambda v: format(v[0:0]),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": pickle.dumps,
    "interface": lambda v: v.__array_interface__,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_use_after_the_release_raises(batch: Batch, use: Callable[[Any], object]) -> None:
    view = batch.len
    if use is not USES["store"]:
        use(view)
    batch.release()
    with pytest.raises(ViewExpiredError, match="copy what you keep"):
        use(view)


DERIVED: dict[str, Callable[[Any], Any]] = {
    "slice": lambda v: v[1:],
    "slice of a slice": lambda v: v[1:][::2],
    "new axis": lambda v: v[:, None],
    "T": lambda v: v.T,
    "reshape": lambda v: v.reshape(4, 1),
    "view": lambda v: v.view(np.int32),
    "numpy.reshape": lambda v: np.reshape(v, (4, 1)),
    "numpy.split": lambda v: np.split(v, 2)[1],
    "numpy.broadcast_to": lambda v: np.broadcast_to(v, (2, 4)),
}


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_derived_views_expire_too(batch: Batch, derive: Callable[[Any], Any]) -> None:
    derived = derive(batch.len)
    assert type(derived) is View
    assert derived.sum() > 0
    batch.release()
    with pytest.raises(ViewExpiredError):
        derived.sum()


def test_rows_of_data_expire_too(batch: Batch) -> None:
    rows = list(batch.data)
    assert [bytes(row[:4]) for row in rows] == [frame_of(i, size=4) for i in range(4)]
    batch.release()
    with pytest.raises(ViewExpiredError):
        rows[0].sum()


COPIES: dict[str, tuple[Callable[[Any], Any], list[int]]] = {
    "copy": (lambda v: v.copy(), [20, 24, 28, 32]),
    "copy.copy": (copy.copy, [20, 24, 28, 32]),
    "copy.deepcopy": (copy.deepcopy, [20, 24, 28, 32]),
    "pickle": (lambda v: pickle.loads(pickle.dumps(v)), [20, 24, 28, 32]),
    "numpy.array": (np.array, [20, 24, 28, 32]),
    "astype": (lambda v: v.astype(np.int64), [20, 24, 28, 32]),
    "arithmetic": (lambda v: v * 2 - v, [20, 24, 28, 32]),
    "mask": (lambda v: v[v > 24], [28, 32]),
    "index": (lambda v: v[[3, 0]], [32, 20]),
    "sort": (lambda v: np.sort(v)[::-1], [32, 28, 24, 20]),
    "cumsum": (lambda v: v.cumsum(), [20, 44, 72, 104]),
    "where": (lambda v: np.where(v > 24, v, 0), [0, 0, 28, 32]),
    "concatenate": (lambda v: np.concatenate([v[:1], v[3:]]), [20, 32]),
}


@pytest.mark.parametrize(("make", "want"), COPIES.values(), ids=COPIES)
def test_copies_are_plain_arrays_that_stay(batch: Batch, make: Callable[[Any], Any], want: list[int]) -> None:
    made = make(batch.len)
    assert type(made) is np.ndarray
    batch.release()
    assert made.tolist() == want


def test_it_is_an_array_to_others(batch: Batch) -> None:
    view = batch.len
    assert isinstance(view, np.ndarray)
    assert isinstance(view, View)
    assert (view.shape, view.ndim, view.dtype, view.size) == ((4,), 1, np.dtype("<u4"), 4)
    assert repr(view) == "array([20, 24, 28, 32], dtype=uint32)"
    assert (view.min(), view.max(), int(view[1]), sorted(view)) == (20, 32, 24, [20, 24, 28, 32])
    assert np.bincount(batch.queue // 22, weights=view).tolist() == [20, 52, 32]


def test_asking_for_the_class_is_no_use(batch: Batch) -> None:
    view = batch.len
    batch.release()
    assert isinstance(view, View)
