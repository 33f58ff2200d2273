"""The primitives of pfq-lang."""

from pfq.lang.prims import (
    berkeley,
    bloom,
    compare,
    control,
    dummies,
    flows,
    forward,
    fragments,
    gtp,
    headers,
    hosts,
    keys,
    link,
    log,
    prefixes,
    properties,
    sampling,
    state,
    steer_ip,
    steer_link,
    steering,
    tcp,
    vlan,
)
from pfq.lang.prims.table import Kind, OpenTable, Prim, Table

__all__ = ["PRIMS", "Kind", "Prim", "Table"]

PRIMS = OpenTable("pfq.primitives")
for _family in (
    headers,
    link,
    vlan,
    hosts,
    fragments,
    tcp,
    prefixes,
    berkeley,
    bloom,
    gtp,
    properties,
    compare,
    control,
    sampling,
    forward,
    steering,
    steer_ip,
    steer_link,
    keys,
    state,
    flows,
    log,
    dummies,
):
    PRIMS.add(*_family.ROWS)
