"""Columns as data frames of pandas, through NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pfq.columns.addresses import addresses
from pfq.columns.arrow import Column, Nullable
from pfq.columns.records import Array, Records

if TYPE_CHECKING:
    import pandas


def frame(package: Any, columns: Mapping[str, Column]) -> pandas.DataFrame:
    """A data frame; `package` is pandas."""
    return package.DataFrame({name: _series(package, column) for name, column in columns.items()}, copy=False)


def _series(pandas: Any, column: Column) -> Any:
    if isinstance(column, Nullable):
        values, valid = column.values, np.asarray(column.valid)
    else:
        values, valid = column, np.ones(len(column), np.bool_)
    if isinstance(values, Records):
        return [values.bytes(i) if valid[i] else None for i in range(len(values))]
    if values.ndim == 2:
        return _texts(values, valid)
    if values.dtype.kind == "S":
        return [value.decode() if there else None for value, there in zip(values.tolist(), valid, strict=True)]
    if values.dtype.kind == "M":
        return pandas.Series(np.where(valid, values, np.datetime64("NaT"))).dt.tz_localize("UTC")
    if isinstance(column, Nullable):
        return pandas.arrays.IntegerArray(values.copy(), ~valid)
    return values.copy()


def _texts(values: Array, valid: Array) -> list[str | None]:
    return [text if there else None for text, there in zip(addresses(values), valid.tolist(), strict=True)]
