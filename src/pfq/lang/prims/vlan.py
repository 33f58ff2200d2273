"""Predicates and filters on the outer VLAN tag, whether it is in the frame or the device took it off.

A packet without a tag has VLAN id 0, as one with a tag that carries a priority only.
"""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.rows import pair, predicate
from pfq.lang.prims.table import Prim

ID_BITS = 0x0FFF
IDS = ID_BITS + 1
ANY_ID = -1


def outer_id(m: Machine) -> int:
    tag = m.packet.outer_tag
    return 0 if tag is None else tag.tci & ID_BITS


def lower_outer_id(e: Emitter) -> Code:
    present, control = e.tag()
    return e.select(present, e.bits(control, e.number(ID_BITS)), e.number(0))


def has_listed_id(m: Machine, ids: tuple[int, ...]) -> bool:
    found = outer_id(m)
    return found in ids or (found != 0 and ANY_ID in ids)


def lower_listed_id(e: Emitter, ids: tuple[int, ...]) -> Code:
    """One look into a table of all ids, so that the length of the list does not matter."""
    listed = e.constant(bytes(found in ids or (found != 0 and ANY_ID in ids) for found in range(IDS)))
    return e.compare("!=", e.read(listed, lower_outer_id(e), 1), e.number(0))


def check_id(found: int) -> str | None:
    return None if 0 <= found < IDS else f"there is no VLAN id {found}: ids are 0 to {IDS - 1}"


def check_ids(ids: tuple[int, ...]) -> str | None:
    reasons = (check_id(found) for found in ids if found != ANY_ID)
    reason = next(filter(None, reasons), None)
    return reason and f"{reason}, and {ANY_ID} for any but 0"


ROWS: tuple[Prim, ...] = (
    *pair(
        "has_vlan",
        "vlan",
        "",
        "has an outer VLAN tag with an id other than 0",
        lambda m: outer_id(m) != 0,
        lambda e: e.compare("!=", lower_outer_id(e), e.number(0)),
    ),
    predicate(
        "has_vid",
        "CInt",
        "has the given id in its outer VLAN tag (0: no tag, or one without an id)",
        lambda m, wanted: outer_id(m) == wanted,
        lambda e, wanted: e.compare("==", lower_outer_id(e), e.number(wanted)),
        "5",
        check=check_id,
    ),
    *pair(
        "vlan_id",
        "vlan_id_filter",
        "[CInt]",
        "has one of the given ids in its outer VLAN tag (-1: any but 0; 0: no tag, or one without an id)",
        has_listed_id,
        lower_listed_id,
        "[5, 7]",
        check=check_ids,
    ),
)
