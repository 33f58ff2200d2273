"""Bloom filters and sets of prefixes answer the same for thousands of addresses: hits, near misses and misses."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from support.backends import Backends, in_kernel
from support.frames import ethernet, ip4, ip6, tcp

from pfq.lang.compile import compile_text

pytestmark = pytest.mark.agree

FRAMES = 1500


def addresses(seed: int, count: int) -> list[int]:
    dice = random.Random(seed)
    return [dice.getrandbits(32) for _ in range(count)]


@pytest.mark.parametrize(("bins", "length"), [(256, 32), (1000, 32), (64, 16), (1024, 24), (4, 8)])
def test_bloom_filters(bins: int, length: int) -> None:
    """So many members that each of the four bits of an address is often there without the others."""
    members = addresses(1, bins // 6)
    listed = ", ".join(str(IPv4Address(member)) for member in members)
    program = compile_text(
        f"when (bloom_src {bins} [{listed}] {length}) (inc 0) >-> bloom_filter {bins} [{listed}] {length}"
    )
    asked = [*members, *(member ^ 1 for member in members), *addresses(2, FRAMES)][:FRAMES]
    with in_kernel(program) as kernel:
        backends = Backends(program, kernel)
        hits = 0
        for source, dest in zip(asked, reversed(asked), strict=True):
            frame = ethernet(ip4(tcp(), 6, source.to_bytes(4, "big"), dest.to_bytes(4, "big")), 0x0800)
            hits += backends.compare(frame).counters.get(0, 0)
    assert len(members) <= hits < FRAMES


def test_sets_of_prefixes() -> None:
    dice = random.Random(3)
    four = [
        ip_network((dice.getrandbits(32), dice.choice((4, 8, 12, 16, 24, 31, 32))), strict=False) for _ in range(300)
    ]
    six = [ip_network((dice.getrandbits(128), dice.choice((4, 16, 48, 64, 65, 128))), strict=False) for _ in range(200)]
    program = compile_text(f'filter (src_addr_in "{", ".join(map(str, [*four, *six]))}")')
    with in_kernel(program) as kernel:
        backends = Backends(program, kernel)
        hits = 0
        for network in four + six:
            for number in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1):
                size = 4 if network.version == 4 else 16
                source = (number % (1 << 8 * size)).to_bytes(size, "big")
                frame = (
                    ethernet(ip4(tcp(), 6, source), 0x0800) if size == 4 else ethernet(ip6(tcp(), 6, source), 0x86DD)
                )
                wanted = any(
                    other.version == network.version and (IPv4Address if size == 4 else IPv6Address)(source) in other
                    for other in four + six
                )
                assert (backends.compare(frame).fanout != 0) is wanted
                hits += wanted
    assert 1000 <= hits < 2000
