"""Bloom filters over IPv4 addresses: the bits, how an address finds its own, and how many are needed.

Four hashes of an address each choose one bit of `bins`, a power of two. The four octets of the
address are mixed by threes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, log1p
from typing import Final

from pfq.errors import UsageError

HASHES: Final = 4
MAX_BINS: Final = 1 << 24
OCTETS_OF_HASH: Final = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
"""Which octets of the address, from the first one on, each hash mixes."""


def bins_of(wanted: int) -> int:
    """The number of bins: the smallest power of two that is not below what is wanted."""
    return 1 << (wanted - 1).bit_length()


def mask_of(length: int) -> int:
    """The bits of an IPv4 address that a prefix length keeps."""
    return 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF


def bits_of(address: int, bins: int) -> Iterator[int]:
    """The numbers of the four bits of a masked address."""
    octets = address.to_bytes(4, "big")
    for chosen in OCTETS_OF_HASH:
        a, b, c = (octets[at] for at in chosen)
        yield ((a ^ b ^ c) | (b ^ c) << 8 | c << 16) % bins


@lru_cache(maxsize=64)
def filled(wanted: int, addresses: tuple[int, ...], length: int) -> bytes:
    """The filter that holds the addresses: bit `n` is bit `n % 8` of byte `n // 8`."""
    bins, mask = bins_of(wanted), mask_of(length)
    data = bytearray(max(1, bins // 8))
    for address in addresses:
        for bit in bits_of(address & mask, bins):
            data[bit >> 3] |= 1 << (bit & 7)
    return bytes(data)


def has(data: bytes, wanted: int, address: int) -> bool:
    """Whether the filter may hold a masked address."""
    return all(data[bit >> 3] >> (bit & 7) & 1 for bit in bits_of(address, bins_of(wanted)))


def bloom_calc_m(n: int, p: float) -> int:
    """The bins that `n` addresses need for a share `p` of false positives, 0 < p < 1."""
    return ceil(-HASHES * _counted(n, "addresses", 0) / _log_unset(p))


def bloom_calc_n(m: int, p: float) -> int:
    """The addresses that `m` bins have room for at a share `p` of false positives, 0 < p < 1."""
    return ceil(-_counted(m, "bins", 1) * _log_unset(p) / HASHES)


def bloom_calc_p(n: int, m: int) -> float:
    """The share of false positives of `n` addresses in `m` bins."""
    unset = (1 - 1 / _counted(m, "bins", 1)) ** (HASHES * _counted(n, "addresses", 0))
    return float((1 - unset) ** HASHES)


def _counted(count: int, noun: str, least: int) -> int:
    if count < least:
        raise UsageError(f"a Bloom filter cannot have {count} {noun}")
    return count


def _log_unset(p: float) -> float:
    """Logarithm of the share of bits that are not set at a share `p` of false positives."""
    is_set = p ** (1 / HASHES) if p > 0 else 0
    if not 0 < is_set < 1:
        raise UsageError(f"the share of false positives must lie between 0 and 1, but is {p}")
    return log1p(-is_set)
