"""Packets of other link types as Ethernet frames, so that programs, filters and columns read them."""

from __future__ import annotations

from typing import Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.records import Records

ETHERNET: Final = 1
"""The LINKTYPE number of Ethernet."""


def as_ethernet(records: Records) -> Records:
    """The same packets, in the same order, each as an Ethernet frame; the very object when all are already.

    Raw IP, BSD loopback, Linux cooked captures and PPP get an Ethernet header that is made up, with
    addresses of zeros (a cooked capture has the source's), in place of their own; `len` and `caplen`
    are those of the frame made. Nothing is left of packets of other link types, nor of those whose
    protocol has no Ethernet type: `len` and `caplen` are 0, so that nothing matches, and `link_type` stays.
    """
    count = len(records)
    given = ffi.cast("struct pfq_record *", records.address)
    if lib.pfq_records_foreign(given, count) == 0:
        return records
    array = np.empty_like(records.array)
    out = ffi.cast("struct pfq_record *", array.ctypes.data)
    needed = lib.pfq_records_as_ethernet(given, count, out, ffi.NULL, 0)
    frames = np.empty(needed, np.uint8)
    lib.pfq_records_as_ethernet(given, count, out, ffi.cast("void *", frames.ctypes.data), needed)
    return Records(array, (records.keep, frames))
