"""A program in plain language."""

from __future__ import annotations

from pfq.lang.compile import compile_text
from pfq.lang.explain import describe
from pfq.lang.prims.table import Table


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
