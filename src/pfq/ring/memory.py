"""The memory of one ring as NumPy sees it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pfq._libpfq import ffi
from pfq.layout import SLOT, SLOT_HEADER_BYTES

Array = np.ndarray[Any, np.dtype[Any]]

_CAPLEN = next(member for member in SLOT if member.name == "caplen")


def slot_dtype(slot_bytes: int) -> np.dtype[Any]:
    """One slot: the fields of the header, then `data`, the room for the frame."""
    room = slot_bytes - SLOT_HEADER_BYTES
    return np.dtype(
        {
            "names": [*(member.name for member in SLOT), "data"],
            "formats": [*(f"<u{member.bits // 8}" for member in SLOT), (np.uint8, (room,))],
            "offsets": [*(member.offset for member in SLOT), SLOT_HEADER_BYTES],
            "itemsize": slot_bytes,
        }
    )


class RingMemory:
    """The slots of one ring, read-only. They stay mapped as long as any array on them lives."""

    def __init__(self, endpoint: Any, first_slot: Any, slots: int, dtype: np.dtype[Any]) -> None:
        """first_slot: pointer to slot 0; `endpoint` owns the mapping and is kept alive by the arrays."""
        self._slot_0 = ffi.gc(first_slot, partial(_outlive, endpoint))
        self._bytes = memoryview(ffi.buffer(self._slot_0, slots * dtype.itemsize)).toreadonly()
        self._dtype = dtype
        self._slots = slots

    def records(self, first: int, count: int) -> Array:
        """The slots of packets `first` to `first + count`, which do not wrap, as one structured array."""
        offset = first % self._slots * self._dtype.itemsize
        return np.frombuffer(self._bytes, self._dtype, count, offset)

    def run(self, first: int, count: int) -> Any:
        """The same packets as `struct pfq_batch *`."""
        stride = self._dtype.itemsize
        slots = self._slot_0 + first % self._slots * stride
        return ffi.new("struct pfq_batch *", {"slots": slots, "count": count, "stride": stride, "first": first})

    def frame(self, number: int) -> bytes:
        """A copy of the captured bytes of packet `number`."""
        at = number % self._slots * self._dtype.itemsize
        caplen_at = at + _CAPLEN.offset
        caplen = int.from_bytes(self._bytes[caplen_at : caplen_at + 2], "little")
        start = at + SLOT_HEADER_BYTES
        return bytes(self._bytes[start : min(start + caplen, at + self._dtype.itemsize)])


def _outlive(_endpoint: Any, _pointer: Any) -> None:
    """Runs when the last array is gone; until then it holds the end-point, and so the mapping."""
