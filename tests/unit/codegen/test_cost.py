"""Costs: the file is true, and costs are what one expects."""

from __future__ import annotations

import json

import pytest

from pfq.codegen.cost import FILE, cost, kept, measured
from pfq.lang.prims import PRIMS


@pytest.mark.slow
def test_the_file_has_the_measured_costs(request: pytest.FixtureRequest) -> None:
    found = {name: measured(prim) for name, prim in PRIMS.items()}
    if request.config.getoption("--update-golden"):
        rows = (f"{json.dumps(name)}: {json.dumps([c.instructions, c.reads])}" for name, c in found.items())
        FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
        kept.cache_clear()
    assert kept() == found


def test_a_primitive_that_decides_by_a_header_reads_it() -> None:
    assert cost(PRIMS["is_tcp"]).reads == "IP header, layer 4 header"
    assert cost(PRIMS["has_vlan"]).reads == "Ethernet header"
    assert cost(PRIMS["pkt_len"]).reads == "length"
    assert cost(PRIMS["limit"]).reads == "time, memory of its own"


def test_what_costs_nothing() -> None:
    for name in ("unit", "dummy_int"):
        assert cost(PRIMS[name]).instructions == 0
        assert cost(PRIMS[name]).reads == "nothing"


def test_more_work_costs_more() -> None:
    names = ("kernel", "is_ip", "is_tcp", "has_port", "steer_gtp_usr")
    assert [cost(PRIMS[name]).instructions for name in names] == sorted(
        cost(PRIMS[name]).instructions for name in names
    )
