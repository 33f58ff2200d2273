"""Bloom filters: which bits an address sets, and how many bits are needed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfq.errors import UsageError
from pfq.lang import bloom_calc_m, bloom_calc_n, bloom_calc_p
from pfq.lang.bloomfilter import bins_of, bits_of, filled, has, mask_of

ADDRESS = 0x0A010203
ADDRESSES = st.integers(0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("wanted", "bins"), [(1, 1), (2, 2), (3, 4), (1000, 1024), (1024, 1024), (1025, 2048), (1 << 24, 1 << 24)]
)
def test_bins_are_rounded_up_to_a_power_of_two(wanted: int, bins: int) -> None:
    assert bins_of(wanted) == bins


def test_masks() -> None:
    assert [mask_of(length) for length in (0, 1, 8, 31, 32)] == [0, 1 << 31, 0xFF000000, 0xFFFFFFFE, 0xFFFFFFFF]


def test_bits_of_an_address() -> None:
    """10.1.2.3: (10^1^2) + (1^2 << 8) + (2 << 16), and so for the threes 10.1.3, 10.2.3 and 1.2.3."""
    assert list(bits_of(ADDRESS, 1 << 24)) == [131849, 197128, 196875, 196864]
    assert list(bits_of(ADDRESS, 1024)) == [777, 520, 267, 256]
    assert list(bits_of(ADDRESS, 16)) == [9, 8, 11, 0]
    assert list(bits_of(ADDRESS, 1)) == [0, 0, 0, 0]
    assert list(bits_of(0x0A010200, 1 << 24)) == [131849, 267, 520, 515]


def test_filled() -> None:
    assert filled(16, (ADDRESS,), 32) == b"\x01\x0b"
    assert filled(16, (), 32) == bytes(2)
    assert filled(1, (), 32) == b"\0"
    assert filled(1, (ADDRESS,), 32) == b"\1"
    assert len(filled(1000, (), 32)) == 128
    assert filled(1024, (ADDRESS,), 24) == filled(1024, (0x0A010200,), 32)


@given(addresses=st.lists(ADDRESSES, max_size=20), length=st.integers(0, 32), wanted=st.integers(1, 5000))
def test_none_is_missed(addresses: list[int], length: int, wanted: int) -> None:
    data = filled(wanted, tuple(addresses), length)
    assert all(has(data, wanted, address & mask_of(length)) for address in addresses)


@pytest.mark.parametrize("bins", [4096, 16384, 65536])
def test_false_positives_are_as_rare_as_computed(bins: int) -> None:
    random = Random(bins)
    held = {random.getrandbits(32) for _ in range(1000)}
    data = filled(bins, tuple(held), 32)
    others = [address for address in (random.getrandbits(32) for _ in range(50_000)) if address not in held]
    found = sum(has(data, bins, address) for address in others)
    expected = bloom_calc_p(len(held), bins) * len(others)
    assert expected / 2 < found < 2 * expected


def test_sizes() -> None:
    """0.01 ** 0.25 is 0.316228; the logarithm of 1 - 0.316228 is -0.380130; 4000 / 0.380130 is 10522.7."""
    assert bloom_calc_m(1000, 0.01) == 10523
    assert bloom_calc_m(0, 0.01) == 0
    assert bloom_calc_n(10523, 0.01) == 1001
    assert bloom_calc_n(10522, 0.01) == 1000
    assert bloom_calc_p(1000, 10523) == pytest.approx(0.01, rel=1e-3)
    assert bloom_calc_p(1, 2) == pytest.approx((15 / 16) ** 4)
    assert (bloom_calc_p(0, 1), bloom_calc_p(1, 1)) == (0.0, 1.0)


@given(n=st.integers(1, 1_000_000), p=st.floats(1e-9, 0.9))
def test_sizes_agree_with_one_another(n: int, p: float) -> None:
    m = bloom_calc_m(n, p)
    assert n <= bloom_calc_n(m, p) <= n + 2
    if m > 1000:
        assert bloom_calc_p(n, m) == pytest.approx(p, rel=0.02)


@pytest.mark.parametrize("p", [0, 1, -1, 2, 1 - 1e-16])
def test_a_share_lies_between_0_and_1(p: float) -> None:
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        bloom_calc_m(10, p)
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        bloom_calc_n(10, p)


def test_counts_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="cannot have -1 addresses"):
        bloom_calc_m(-1, 0.1)
    with pytest.raises(UsageError, match="cannot have 0 bins"):
        bloom_calc_n(0, 0.1)
    with pytest.raises(UsageError, match="cannot have 0 bins"):
        bloom_calc_p(1, 0)
