"""What a group decided about the packets of a run, as an array."""

from __future__ import annotations

from typing import Final

from pfq.columns.records import dtype_of
from pfq.layout import VERDICT, VERDICT_BYTES

VERDICT_DTYPE: Final = dtype_of(VERDICT, VERDICT_BYTES)
"""One for each record of a run, as `pfq.codegen.batch.NativeGroup` fills it."""
