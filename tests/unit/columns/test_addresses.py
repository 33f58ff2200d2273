"""Addresses as text are those of the standard library."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
import pytest
from support.columns import address

from pfq import addresses
from pfq.columns.records import Array
from pfq.errors import UsageError

TEXTS = (
    *("0.0.0.0", "1.2.3.4", "10.20.30.40", "99.100.101.255", "255.255.255.255"),
    *("::1", "fe80::1", "2001:db8::8:800:200c:417a", "2001:db8:0:1:1:1:1:1", "1::8", "0:2:3:4:5:6:7:8"),
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)


def column(*packed: bytes) -> Array:
    return np.frombuffer(b"".join(packed), np.uint8).reshape(-1, 16)


def test_the_usual_ones() -> None:
    assert addresses(column(*(address(ip_address(text).packed) for text in TEXTS))) == list(TEXTS)


def test_many() -> None:
    dice = random.Random(1)
    fours = [IPv4Address(dice.getrandbits(32)) for _ in range(2000)]
    sixes = [IPv6Address(dice.getrandbits(128) & ~(dice.getrandbits(64) << dice.randrange(128))) for _ in range(2000)]
    found = addresses(column(*(address(made.packed) for made in (*fours, *sixes))))
    assert found[:2000] == list(map(str, fours))
    assert [IPv6Address(text) for text in found[2000:]] == sixes


def test_no_address_and_none_at_all() -> None:
    assert addresses(column(bytes(16))) == ["::"]
    assert addresses(column()) == []


def test_rows_apart_and_a_single_row() -> None:
    rows = column(*(bytes(15) + bytes([i]) for i in range(1, 7)))
    assert addresses(rows[::2]) == ["::1", "::3", "::5"]
    assert addresses(rows[1]) == ["::2"]


@pytest.mark.parametrize("wrong", [np.zeros(3, np.uint8), np.zeros((2, 16), np.int64), np.zeros((2, 4), np.uint8)])
def test_other_forms_are_refused(wrong: Array) -> None:
    with pytest.raises(UsageError, match="addresses have 16 bytes a row"):
        addresses(wrong)
