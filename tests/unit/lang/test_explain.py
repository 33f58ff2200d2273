"""Programs, primitives and modules of the library in words."""

from __future__ import annotations

import pytest

from pfq.lang import explain
from pfq.lang.compile import compile_text
from pfq.lang.explain import describe
from pfq.lang.modules import library_modules
from pfq.lang.prims import PRIMS
from pfq.lang.prims.table import Prim, Table


def test_lines(table: Table) -> None:
    text = "ip >-> when (is_tcp .&&. not (ip_ttl .< 5)) (mark 2 >-> drop) >-> port 80"
    assert describe(compile_text(text, table=table)) == [
        "ip: Does ip.",
        "when (is_tcp .&&. not (ip_ttl .< 5)) (mark 2 >-> drop): Does when.",
        "  is_tcp: Does is_tcp.",
        "  ip_ttl .< 5: Does less.",
        "    ip_ttl: Does ip_ttl.",
        "  mark 2: Does mark.",
        "  drop: Does drop.",
        "port 80: Does port.",
    ]


def test_unit(table: Table) -> None:
    assert describe(compile_text("unit", table=table)) == ["unit: Passes every packet unchanged."]


@pytest.mark.parametrize("prim", PRIMS.values(), ids=lambda prim: prim.name)
def test_a_primitive(prim: Prim) -> None:
    record = explain.primitive(prim, (12, "IPv4"))
    assert record.keys() >= {"name", "type", "kind", "family", "meaning", "example", "aliases"}
    assert (record["instructions"], record["reads"]) == (12, "IPv4")
    assert explain.primitive(prim) == {key: record[key] for key in record if key not in ("instructions", "reads")}


def test_every_name_of_the_library() -> None:
    for name in library_modules():
        defines = explain.module(name)["defines"]
        assert defines
        for line in defines:
            found, _, kind = line.partition(" :: ")
            record = explain.library_definition(found)
            assert (record["type"], record["module"]) == (kind, name)
            assert record["definition"].startswith(f"{found} ")
