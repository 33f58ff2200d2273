"""A run of packets: where the bytes of each are, and what is known of it."""

from __future__ import annotations

import builtins
import ctypes
from typing import Any, Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.layout import RECORD, RECORD_BYTES, Member

Array = np.ndarray[Any, np.dtype[Any]]


def dtype_of(members: tuple[Member, ...], itemsize: int) -> np.dtype[Any]:
    """A structure of the layout as NumPy sees it."""
    return np.dtype(
        {
            "names": [member.name for member in members],
            "formats": [_format(member.bits) for member in members],
            "offsets": [member.offset for member in members],
            "itemsize": itemsize,
        }
    )


def _format(bits: int) -> str:
    return f"<u{bits // 8}" if bits <= 64 else f"({bits // 8},)u1"


RECORD_DTYPE: Final = dtype_of(RECORD, RECORD_BYTES)
"""`struct pfq_record` of libpfq."""


class Records:
    """A run of packets in the order of their source.

    array  one `RECORD_DTYPE` for each packet
    keep   what owns the bytes that the records point to; it lives as long as they do
    """

    __slots__ = ("array", "keep")

    def __init__(self, array: Array, keep: object) -> None:
        if array.dtype != RECORD_DTYPE or array.ndim != 1:
            raise TypeError(f"records are one-dimensional arrays of RECORD_DTYPE, not {array.ndim}D {array.dtype}")
        self.array = np.ascontiguousarray(array)
        self.keep = keep

    def __len__(self) -> int:
        """Packets."""
        return len(self.array)

    @property
    def address(self) -> int:
        """Address of the first record, for native code."""
        return int(self.array.ctypes.data)

    def bytes(self, i: int) -> builtins.bytes:
        """The captured bytes of packet `i`, copied. Raises IndexError."""
        record = self.array[i]
        return ctypes.string_at(int(record["data"]), int(record["caplen"]))

    def copy(self) -> Records:
        """The same packets with bytes of their own."""
        array = np.empty_like(self.array)
        data = np.empty(int(self.array["caplen"].sum(dtype=np.uint64)), np.uint8)
        given, copies = (ffi.cast("struct pfq_record *", records.ctypes.data) for records in (self.array, array))
        lib.pfq_records_copy(given, len(self), ffi.cast("uint8_t *", data.ctypes.data), copies)
        return Records(array, data)
