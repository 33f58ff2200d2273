"""Columns as Arrow tables, through the Arrow C data interface: no package of Arrow's is needed to make them.

Polars, pandas, DuckDB, PyArrow and others take such an object wherever they take a table of their own:

    polars.DataFrame(table), pyarrow.table(table)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns import capsules
from pfq.columns.addresses import ADDRESS_BYTES
from pfq.columns.records import Array, Records
from pfq.errors import UsageError

TIME: Final = "tsn:UTC"
_NUMBERS: Final = {"u1": "C", "u2": "S", "u4": "I", "u8": "L", "i1": "c", "i2": "s", "i4": "i", "i8": "l", "f8": "g"}


@dataclass(frozen=True, slots=True)
class Nullable:
    """A column some of whose values are missing.

    values  what they are; those that are missing are ignored
    valid   one bool each: it is there
    """

    values: Array | Records
    valid: Array


Column = Array | Records | Nullable
"""An array of numbers, bools, datetime64[ns] (UTC), fixed-width bytes (text), rows of 16 bytes (addresses, which
become text), or records (their captured bytes)."""


class ArrowTable:
    """Columns of equal length with names, for any package that speaks Arrow.

    The memory of the columns is used when the table is exported, and then copied: what was exported may outlive
    this object.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """Raises UsageError when there is no column, and when their lengths differ."""
        self.columns = dict(columns)
        lengths = {len(_split(column)[0]) for column in self.columns.values()}
        if len(lengths) != 1:
            raise UsageError("a table has columns of one length", hint=f"these have {sorted(lengths) or 'no column'}")
        (self._rows,) = lengths

    def __len__(self) -> int:
        """Rows."""
        return self._rows

    def __repr__(self) -> str:
        return f"<ArrowTable of {self._rows} rows: {', '.join(self.columns)}>"

    def __arrow_c_schema__(self) -> object:
        return capsules.schema(self.new_schema())

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.__arrow_c_schema__(), capsules.array(self.new_array())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return capsules.stream(self, iter((self,)))

    def new_schema(self) -> Any:
        """The types as libpfq's `struct ArrowSchema *`, which the caller frees or moves."""
        columns, _keep = self._described()
        return _made(lib.pfq_arrow_schema(columns, len(self.columns)))

    def new_array(self) -> Any:
        """The values as libpfq's `struct ArrowArray *`, which the caller frees or moves."""
        columns, _keep = self._described()
        return _made(lib.pfq_arrow_array(columns, len(self.columns), self._rows))

    def _described(self) -> tuple[Any, list[object]]:
        """The columns as `struct pfq_column []`, and what must live as long."""
        found = ffi.new("struct pfq_column[]", len(self.columns))
        keep: list[object] = []
        for place, (name, column) in zip(found, self.columns.items(), strict=True):
            values, valid = _split(column)
            array, place.kind, arrow_format, place.width = _kind(name, values)
            texts = [ffi.new("char[]", text.encode()) for text in (name, arrow_format)]
            place.name, place.format = texts
            place.data, place.stride = _pointer(array)
            if valid is not None:
                place.valid, place.valid_stride = _pointer(valid)
            keep += [array, valid, *texts]
        return found, keep


class ArrowStream:
    """Tables with the same columns, one after the other, for any package that speaks Arrow.

    They are made while the receiver asks for them, so that they need not be in memory together.
    """

    def __init__(self, shape: ArrowTable, tables: Callable[[], Iterator[ArrowTable]]) -> None:
        """shape: a table with these columns, of any length; tables: begins anew for each receiver"""
        self._shape = shape
        self._tables = tables

    def __arrow_c_schema__(self) -> object:
        return self._shape.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return capsules.stream(self._shape, self._tables())


def _split(column: Column) -> tuple[Array | Records, Array | None]:
    if isinstance(column, Nullable):
        return column.values, np.asarray(column.valid, np.bool_)
    return column, None


def _kind(name: str, values: Array | Records) -> tuple[Array, int, str, int]:
    """(array, kind of `enum pfq_column_kind`, Arrow's word for the type, bytes of a value)."""
    if isinstance(values, Records):
        return values.array, lib.PFQ_COLUMN_BYTES, "z", 0
    array = np.asarray(values)
    if array.ndim == 2 and array.dtype == np.uint8 and array.shape[1] == ADDRESS_BYTES and array.strides[1] == 1:
        return array, lib.PFQ_COLUMN_ADDRESS, "u", ADDRESS_BYTES
    if array.ndim == 1 and array.dtype.kind == "S":
        return array, lib.PFQ_COLUMN_TEXT, "u", array.itemsize
    if array.ndim == 1 and array.dtype == np.bool_:
        return array, lib.PFQ_COLUMN_BOOL, "b", 1
    if array.ndim == 1 and array.dtype == np.dtype("<M8[ns]"):
        return array, lib.PFQ_COLUMN_PLAIN, TIME, array.itemsize
    if array.ndim == 1 and array.dtype.str[1:] in _NUMBERS and array.dtype.isnative:
        return array, lib.PFQ_COLUMN_PLAIN, _NUMBERS[array.dtype.str[1:]], array.itemsize
    raise UsageError(f"column `{name}` cannot be exported: form {array.shape} of {array.dtype}")


def _pointer(array: Array) -> tuple[Any, int]:
    """Where the first value is, and the bytes from one to the next."""
    return ffi.cast("uint8_t *", array.ctypes.data), array.strides[0]


def _made(structure: Any) -> Any:
    if structure == ffi.NULL:
        raise UsageError(
            "the table does not fit: there is no memory, or a column has over 2 GiB of text or bytes",
            hint="export fewer packets at once, or leave out the column `data`",
        )
    return structure
