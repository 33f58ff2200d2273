"""The primitives of pfq-lang."""

from pfq.lang.prims import compare, control, forward, headers, properties, state, steering
from pfq.lang.prims.table import Kind, Prim, Table

__all__ = ["PRIMS", "Kind", "Prim", "Table"]

PRIMS = Table()
for _family in (headers, properties, compare, control, forward, steering, state):
    PRIMS.add(*_family.ROWS)
