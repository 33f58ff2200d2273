"""Fingerprints of flows: 64 bits from the fields of a key, the same for both directions when it has both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Final

from pfq.lang.interp import Machine
from pfq.lang.packet import number
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.fields import FIELDS, HALVES, Field
from pfq.lang.prims.steering import any_ip

WORD_BITS: Final = 64
WORD64: Final = (1 << WORD_BITS) - 1
FACTOR, LAST_FACTOR = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9

FLOW_BIT: Final = 1 << 63
"""Is set in all fingerprints, so that small numbers can mean other things."""

ADDRESS_OFFSETS: Final = {"src": (12, 8), "dst": (16, 24)}
"""Where the addresses are in an IPv4 and in an IPv6 header."""


def whole_address(side: Side) -> tuple[Field, Field]:
    """An IP address in two words; an IPv4 address counts as the IPv6 address ::a.b.c.d."""
    ip4, ip6 = ADDRESS_OFFSETS[side]

    def word(part: slice) -> Callable[[Machine], int | None]:
        def run(m: Machine) -> int | None:
            ip = m.headers.ip
            return None if ip is None else number((ip.src if side == "src" else ip.dst).rjust(16, b"\0")[part])

        return run

    def low(e: Emitter) -> Code:
        # a header of the other version reads as 0
        return e.or_bits(e.load("ip4", ip4, 4), e.load("ip6", ip6 + 8, 8))

    name = f"ip_{side}"
    return (
        Field(name, side, WORD_BITS, word(slice(0, 8)), lambda e: (any_ip(e), e.load("ip6", ip6, 8))),
        Field(name, side, WORD_BITS, word(slice(8, 16)), lambda e: (any_ip(e), low(e))),
    )


WHOLE_FIELDS: Final = (
    *(field for field in FIELDS if field.name not in ("ip_src", "ip_dst")),
    *whole_address("src"),
    *whole_address("dst"),
)


def packed(half: str, fields: Iterable[Field]) -> list[list[tuple[Field, int]]]:
    """How the fields of a half fill words: for each word the fields in it with their lowest bits."""
    words: list[list[tuple[Field, int]]] = []
    room = 0
    for field in fields:
        if field.half == half:
            if field.width > room:
                words.append([])
                room = WORD_BITS
            words[-1].append((field, WORD_BITS - room))
            room -= field.width
    return words


def fingerprint(found: dict[Field, int]) -> int:
    """64 bits that tell a flow from all others; the sum of the halves, so that both directions have the same."""
    total = 0
    for half in HALVES:
        mixed = int(half != "")
        for word in packed(half, found):
            mixed = (mixed ^ sum(found[field] << start for field, start in word)) * FACTOR & WORD64
            mixed ^= mixed >> 32
        mixed = mixed * LAST_FACTOR & WORD64
        total += mixed ^ mixed >> 29
    total &= WORD64
    return total ^ total >> 32 | FLOW_BIT


def lower_fingerprint(e: Emitter, found: dict[Field, Code]) -> Code:
    total = e.number(0)
    for half in HALVES:
        mixed = e.number(int(half != ""))
        for word in packed(half, found):
            parts = (e.shl(found[field], start) for field, start in word)
            mixed = e.mul(e.xor(mixed, reduce(e.or_bits, parts)), e.number(FACTOR))
            mixed = e.xor(mixed, e.shr(mixed, 32))
        mixed = e.mul(mixed, e.number(LAST_FACTOR))
        total = e.add(total, e.xor(mixed, e.shr(mixed, 29)))
    return e.or_bits(e.xor(total, e.shr(total, 32)), e.number(FLOW_BIT))
