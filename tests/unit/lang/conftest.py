"""A table of primitives with one of every kind of parameter, to test the front end on its own."""

from __future__ import annotations

import pytest

from pfq.lang.prims.table import Prim, Table

ACTION = "Packet -> Action Packet"
PREDICATE = "Packet -> Bool"
PROPERTY = "Packet -> Word64"

TYPES = {
    "unit": ACTION,
    "drop": ACTION,
    "kernel": ACTION,
    "ip": ACTION,
    "tcp": ACTION,
    "is_ip": PREDICATE,
    "is_tcp": PREDICATE,
    "ip_ttl": PROPERTY,
    "port": f"Word16 -> {ACTION}",
    "has_port": f"Word16 -> {PREDICATE}",
    "addr": f"CIDR -> {ACTION}",
    "host": f"IPv4 -> {ACTION}",
    "hosts": f"[IPv4] -> {ACTION}",
    "forward": f"String -> {ACTION}",
    "link": f"[String] -> {ACTION}",
    "vlan_id": f"[CInt] -> {PREDICATE}",
    "nets": f"[CIDR] -> Int8 -> {ACTION}",
    "flag": f"Bool -> {ACTION}",
    "mark": f"Word32 -> {ACTION}",
    "steer_key": f"Word64 -> {ACTION}",
    "dummy": f"a -> {ACTION}",
    "shift": f"({ACTION}) -> {ACTION}",
    "filter": f"({PREDICATE}) -> {ACTION}",
    "when": f"({PREDICATE}) -> ({ACTION}) -> {ACTION}",
    "conditional": f"({PREDICATE}) -> ({ACTION}) -> ({ACTION}) -> {ACTION}",
    "not": f"({PREDICATE}) -> {PREDICATE}",
    **dict.fromkeys(("and", "or", "xor"), f"({PREDICATE}) -> ({PREDICATE}) -> {PREDICATE}"),
    **dict.fromkeys(
        ("less", "less_eq", "equal", "not_equal", "greater", "greater_eq", "any_bit", "all_bit"),
        f"({PROPERTY}) -> Word64 -> {PREDICATE}",
    ),
}


def small_table() -> Table:
    made = Table()
    for name, kind in TYPES.items():
        made.add(
            Prim(
                name=name,
                type=kind,
                doc=f"Does {name}.",
                run=lambda *_: True,
                lower=lambda *_: None,
                example=name,
                aliases=("keep",) if name == "filter" else (),
                check=_even if name == "mark" else None,
            )
        )
    return made


def _even(value: int) -> str | None:
    return None if value % 2 == 0 else f"{value} is odd"


@pytest.fixture(scope="session")
def table() -> Table:
    return small_table()
