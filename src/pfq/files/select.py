"""Keeping some packets of a run without keeping the memory of the others."""

from __future__ import annotations

from typing import Final

import numpy as np

from pfq._libpfq import ffi
from pfq.columns.records import Array, Records

WORTH_COPYING: Final = 1 / 4
"""Packets with less than this share of the bytes of a run are copied; more of them keep the run."""


def packets_at(records: Records, chosen: Array) -> Records:
    """The packets with these numbers; a copy of them when they are a small part of the run."""
    array = records.array[chosen]
    sizes = array["caplen"].astype(np.int64)
    total = int(sizes.sum())
    if total > WORTH_COPYING * int(records.array["caplen"].sum(dtype=np.int64)):
        return Records(array, records)
    copied = np.empty(0, np.uint8)
    starts = np.cumsum(sizes) - sizes
    if total:
        places = array["data"].astype(np.int64)
        first = int(places.min())
        memory = ffi.buffer(ffi.cast("char *", first), int((places + sizes).max()) - first)
        copied = np.frombuffer(memory, np.uint8)[np.repeat(places - first - starts, sizes) + np.arange(total)]
    array["data"] = copied.ctypes.data + starts
    return Records(array, copied)
