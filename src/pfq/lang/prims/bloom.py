"""Bloom filters: whether an IPv4 address belongs, most likely, to a list of addresses."""

from __future__ import annotations

from pfq.lang.bloomfilter import MAX_BINS, OCTETS_OF_HASH, bins_of, filled, has, mask_of
from pfq.lang.interp import Machine
from pfq.lang.packet import number
from pfq.lang.prims.emitter import Code, Emitter, Memory, Side
from pfq.lang.prims.rows import lazily_any_side, pair
from pfq.lang.prims.table import Prim

OFFSETS = {"src": 12, "dst": 16}

Addresses = tuple[int, ...]


def bloom(m: Machine, bins: int, addresses: Addresses, length: int, *sides: Side) -> bool:
    ip = m.headers.ip_of(4)
    if ip is None:
        return False
    data, mask = filled(bins, addresses, length), mask_of(length)
    return any(has(data, bins, number(ip.src if side == "src" else ip.dst) & mask) for side in sides)


def lower_hash(e: Emitter, a: Code, b: Code, c: Code) -> Code:
    tail = e.xor(b, c)
    return e.or_bits(e.or_bits(e.xor(a, tail), e.shl(tail, 8)), e.shl(c, 16))


def lower_has(e: Emitter, memory: Memory, bins: int, address: Code) -> Code:
    octets = [e.bits(e.shr(address, shift), e.number(255)) for shift in (24, 16, 8, 0)]

    def is_set(chosen: tuple[int, ...], *others: tuple[int, ...]) -> Code:
        bit = e.bits(lower_hash(e, *(octets[at] for at in chosen)), e.number(bins - 1))
        byte = e.shr_by(e.read(memory, e.shr(bit, 3), 1), e.bits(bit, e.number(7)))
        found = e.compare("!=", e.bits(byte, e.number(1)), e.number(0))
        return e.lazily(found, lambda: is_set(*others), lambda: e.truth(False)) if others else found

    return is_set(*OCTETS_OF_HASH)


def lower_bloom(e: Emitter, bins: int, addresses: Addresses, length: int, *sides: Side) -> Code:
    memory, mask = e.constant(filled(bins, addresses, length)), e.number(mask_of(length))

    def hit(side: Side) -> Code:
        return lower_has(e, memory, bins_of(bins), e.bits(e.load("ip4", OFFSETS[side], 4), mask))

    return e.lazily(e.is_ip(4), lambda: lazily_any_side(e, sides, hit), lambda: e.truth(False))


def check(bins: int, addresses: Addresses, length: int) -> str | None:
    if not 1 <= bins <= MAX_BINS:
        return f"a Bloom filter cannot have {bins} bins: it has 1 to {MAX_BINS}"
    return None if 0 <= length <= 32 else f"an IPv4 prefix cannot have {length} bits: it has 0 to 32"


def rows(name: str, where: str, *sides: Side) -> tuple[Prim, Prim]:
    """Predicate and filter. Without `sides` they look at those that the program chose."""
    return pair(
        name,
        f"{name}_filter",
        "CInt -> [IPv4] -> CInt",
        f"is IPv4 and its {where} address, cut to the given prefix length, is in the list, as far as a Bloom filter "
        "with the given number of bins can tell",
        lambda m, *args: bloom(m, *args, *(sides or m.sides)),
        lambda e, *args: lower_bloom(e, *args, *(sides or e.sides)),
        "1024 [192.168.0.13, 192.168.0.42] 32",
        check=check,
    )


ROWS: tuple[Prim, ...] = (
    *rows("bloom", "source or destination"),
    *rows("bloom_src", "source", "src"),
    *rows("bloom_dst", "destination", "dst"),
)
