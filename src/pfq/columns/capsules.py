"""The capsules of Python in which Arrow's structures travel (Arrow PyCapsule interface).

Arrays need no Python when they are released. A stream asks Python for each of its tables, in whatever thread its
receiver is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pfq._libpfq import ffi, lib

if TYPE_CHECKING:
    from pfq.columns.arrow import ArrowTable


def _python_function(name: str, argument: Any) -> Any:
    """A function of the extension that returns a Python object."""
    address = int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))
    return ctypes.PYFUNCTYPE(ctypes.py_object, argument)(address)


_schema = _python_function("pfq_schema_capsule", ctypes.c_void_p)
_array = _python_function("pfq_array_capsule", ctypes.c_void_p)
_stream = _python_function("pfq_stream_capsule", ctypes.py_object)


def schema(structure: Any) -> object:
    """A capsule that owns libpfq's `struct ArrowSchema *`."""
    capsule: object = _schema(int(ffi.cast("uintptr_t", structure)))
    return capsule


def array(structure: Any) -> object:
    """A capsule that owns libpfq's `struct ArrowArray *`."""
    capsule: object = _array(int(ffi.cast("uintptr_t", structure)))
    return capsule


def stream(shape: ArrowTable, tables: Iterator[ArrowTable]) -> object:
    """A capsule with a stream of tables, all with the columns of `shape`."""
    capsule: object = _stream(_Source(shape, tables))
    return capsule


class _Source:
    """What the extension asks for a stream's tables; addresses are those of structures to fill."""

    def __init__(self, shape: ArrowTable, tables: Iterator[ArrowTable]) -> None:
        self._shape = shape
        self._tables = tables

    def schema(self, address: int) -> None:
        lib.pfq_arrow_schema_move(self._shape.new_schema(), ffi.cast("void *", address))

    def next(self, address: int) -> None:
        """Leaves the structure as it is when there are no more tables."""
        table = next(self._tables, None)
        if table is not None:
            lib.pfq_arrow_array_move(table.new_array(), ffi.cast("void *", address))

    def close(self) -> None:
        close = getattr(self._tables, "close", None)
        if close is not None:
            close()
