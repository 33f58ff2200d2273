"""IP addresses in columns: 16 bytes each, and as text."""

from __future__ import annotations

from typing import Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.records import Array
from pfq.errors import UsageError

ADDRESS_BYTES: Final = 16


def addresses(column: Array) -> list[str]:
    """The addresses of a column as text.

    column  of the form of `batch.src`: 16 bytes a row, IPv4 addresses as ::ffff:a.b.c.d, which are written
            a.b.c.d. The column of a packet without an address is all 0, which is written `::`.
    Raises UsageError when it has another form.
    """
    given = np.asarray(column)
    if given.dtype != np.uint8 or given.shape[-1:] != (ADDRESS_BYTES,) or given.ndim > 2:
        raise UsageError(
            f"addresses have 16 bytes a row, not the form {given.shape} of {given.dtype}",
            hint="give a column such as `batch.src`, or rows of it",
        )
    if not given.size:
        return []
    rows = np.ascontiguousarray(given).reshape(-1, ADDRESS_BYTES)
    text = ffi.new("char[]", len(rows) * lib.PFQ_ADDRESS_TEXT)
    written = lib.pfq_addresses_text(ffi.from_buffer("uint8_t[]", rows), ADDRESS_BYTES, len(rows), text)
    return bytes(ffi.buffer(text, written - 1)).decode("ascii").split("\n")
