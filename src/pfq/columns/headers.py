"""The headers of a run of packets as columns, read natively in one pass."""

from __future__ import annotations

from typing import Final

import numpy as np

from pfq.columns.records import Array, Records, dtype_of
from pfq.layout import HEADERS, HEADERS_BYTES

HEADERS_DTYPE: Final = dtype_of(HEADERS, HEADERS_BYTES)
"""`struct pfq_headers` of libpfq."""


def decode(records: Records) -> Array:
    """The headers of Ethernet frames, one `HEADERS_DTYPE` for each record. What is absent is 0."""
    from pfq.codegen.columns import header_reader

    found = np.empty(len(records), HEADERS_DTYPE)
    if len(records):
        header_reader().read(records.address, len(records), int(found.ctypes.data))
    return found
