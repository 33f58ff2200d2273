"""Arrays that refuse to be used once their batch was released."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pfq.errors import ViewExpiredError
from pfq.ring.lease import Lease
from pfq.ring.memory import Array

# Attributes and methods of an array that are views on the same memory: their results are guarded too.
_DERIVING = frozenset(
    ("T", "mT", "real", "imag", "reshape", "ravel", "transpose", "swapaxes", "squeeze", "diagonal", "view", "getfield")
)
# What Python looks up on the type, not through `__getattribute__`, and what NumPy does without a ufunc.
_SPECIAL = (
    *("__len__", "__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__", "__setitem__"),
    *("__repr__", "__str__", "__format__", "__copy__"),
)


class View(np.ndarray[Any, np.dtype[Any]]):
    """A read-only column of a batch, on the ring's own memory.

    It is an array like any other until the batch is released; then every use raises
    ViewExpiredError. Slices and reshaped forms of it behave likewise; copies and results of
    arithmetic are plain arrays. A plain array made without a copy (`numpy.asarray`) or a memoryview
    does not raise, but the packets under it stay as they are for as long as it lives, and their
    slots are missing in the ring.

    The guard costs about a microsecond for each operation on the whole array, nothing per packet.
    """

    __slots__ = ("_lease",)
    _lease: Lease | None

    def __array_finalize__(self, source: object) -> None:
        owner: object = self
        while isinstance(owner, np.ndarray):  # memory of a ring belongs to no array, that of a copy does
            owner = _attribute(owner, "base")
        self._lease = _attribute(source, "_lease") if isinstance(source, View) and owner is not None else None

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":  # asked for by isinstance, which is no use of the packets
            return View
        plain = _plain(self)
        return _attribute(self, name) if name in _DERIVING else getattr(plain, name)

    def __getitem__(self, key: Any) -> Any:
        _plain(self)
        item = super().__getitem__(key)
        # Picking elements by an array or a mask has copied them.
        return item.view(np.ndarray) if isinstance(item, View) and _attribute(item, "_lease") is None else item

    def __iter__(self) -> Iterator[Any]:
        plain = _plain(self)
        return iter(plain) if plain.ndim == 1 else (self[i] for i in range(len(plain)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*_strip(inputs), **_strip(kwargs))

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        return _rewrap(func(*_strip(args), **_strip(kwargs)), self)


def guard(array: Array, lease: Lease) -> View:
    """`array` as a view that expires with the batch of `lease`."""
    view = array.view(View)
    view._lease = lease
    return view


_attribute = np.ndarray.__getattribute__
_as_array = np.ndarray.view


def _plain(view: View) -> Array:
    """The unguarded array; raises when the batch was released."""
    lease: Lease | None = _attribute(view, "_lease")
    if lease is not None and lease.expired:
        raise ViewExpiredError(
            "this view belongs to a batch that was released",
            hint="copy what you keep while the batch is valid, for example `batch.len.copy()`",
        )
    return _as_array(view, np.ndarray)


def _strip(value: Any) -> Any:
    """`value` with the views in it made plain; looks into tuples, lists and dictionaries."""
    if isinstance(value, View):
        return _plain(value)
    if type(value) in (tuple, list):
        return type(value)(map(_strip, value))
    if type(value) is dict:
        return {key: _strip(item) for key, item in value.items()}
    return value


def _rewrap(result: Any, view: View) -> Any:
    """Guards what a NumPy function returned where it is a view of the same memory (`numpy.split`)."""
    if type(result) in (tuple, list):
        return type(result)(_rewrap(item, view) for item in result)
    lease: Lease | None = _attribute(view, "_lease")
    if lease is None or type(result) is not np.ndarray or result.base is None:
        return result
    return guard(result, lease) if np.may_share_memory(result, _plain(view)) else result


def _guarded(name: str) -> Callable[..., Any]:
    plain_method = getattr(np.ndarray, name)

    def method(self: View, *args: Any) -> Any:
        return plain_method(_plain(self), *args)

    return method


for _name in _SPECIAL:
    setattr(View, _name, _guarded(_name))
