"""Primitives that do nothing with their argument, for the tests of front ends."""

from __future__ import annotations

from pfq.lang.prims.table import Prim


def row(name: str, argument: str, what: str, example: str) -> Prim:
    return Prim(
        name=name,
        type=f"{argument} -> Packet -> Action Packet",
        doc=f"Passes every packet and ignores its argument, {what}: it is there to test front ends.",
        run=lambda m, value: True,
        lower=lambda e, value: None,
        example=f"{name} {example}",
        family="dummy",
    )


ROWS: tuple[Prim, ...] = (
    row("dummy_int", "CInt", "a number", "42"),
    row("dummy_ints", "[CInt]", "a list of numbers", "[1, 2, 3]"),
    row("dummy_ip", "IPv4", "an address", "10.0.0.1"),
    row("dummy_ips", "[IPv4]", "a list of addresses", "[10.0.0.1, 10.0.0.2]"),
    row("dummy_cidr", "CIDR", "a prefix", "10.0.0.0/8"),
    row("dummy_cidrs", "[CIDR]", "a list of prefixes", "[10.0.0.0/8, 2001:db8::/32]"),
    row("dummy_string", "String", "a text", '"text"'),
    row("dummy_strings", "[String]", "a list of texts", '["one", "two"]'),
)
