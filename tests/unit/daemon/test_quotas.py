"""Quotas: what is granted, what is not, and that it comes back."""

from __future__ import annotations

import errno

import pytest

from pfq.daemon.limits import Limits
from pfq.daemon.quotas import Bucket, Quotas
from pfq.errors import LimitError
from pfq.wire.faults import errno_of

SMALL = Limits(connections=3, user_connections=2, user_endpoints=2, user_ring_bytes=1000, changes_at_once=3)


def test_connections_of_a_user_and_of_all() -> None:
    quotas = Quotas(SMALL)
    quotas.connect(7, limited=True)
    quotas.connect(7, limited=True)
    with pytest.raises(LimitError, match="user 7 has 2 connections"):
        quotas.connect(7, limited=True)
    quotas.connect(8, limited=True)
    for limited in (True, False):
        with pytest.raises(LimitError, match="3 clients"):
            quotas.connect(9, limited=limited)
    quotas.disconnect(7)
    quotas.connect(7, limited=False)
    assert quotas.used(7) == (2, 0, 0)


def test_what_is_refused_is_not_counted() -> None:
    quotas = Quotas(SMALL)
    quotas.take(7, True, 1, 600)
    with pytest.raises(LimitError, match="rings of 500 bytes are too much: user 7 has 600 of at most 1000"):
        quotas.take(7, True, 1, 500)
    assert quotas.used(7) == (0, 1, 600)
    quotas.take(7, True, 1, 400)
    with pytest.raises(LimitError, match="user 7 has 2 end-points"):
        quotas.take(7, True, 1)
    quotas.take(7, True, 0, 0)
    quotas.take(8, True, 1, 1000)
    quotas.give(7, 2, 1000)
    assert quotas.used(7) == (0, 0, 0)
    quotas.take(7, True, 2, 1000)


def test_who_is_not_limited_is_counted() -> None:
    quotas = Quotas(SMALL)
    quotas.take(0, False, 50, 1 << 40)
    assert quotas.used(0) == (0, 50, 1 << 40)


def test_other_limits_hold_at_once_and_take_nothing_away() -> None:
    quotas = Quotas(SMALL)
    quotas.take(7, True, 2, 1000)
    quotas.limits = Limits(user_endpoints=1)
    with pytest.raises(LimitError):
        quotas.take(7, True, 1)
    quotas.give(7, 1, 500)
    assert quotas.used(7) == (0, 1, 500)


def test_changes() -> None:
    quotas = Quotas(SMALL)
    for _ in range(3):
        quotas.change(7, limited=True)
    with pytest.raises(LimitError, match="10 programs") as caught:
        quotas.change(7, limited=True)
    assert errno_of(caught.value) == errno.EAGAIN
    quotas.change(8, limited=True)
    for _ in range(100):
        quotas.change(7, limited=False)


def test_a_bucket_fills_again() -> None:
    bucket = Bucket(rate=10, burst=3)
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(100.0625), bucket.take(100.125), bucket.take(100.125)] == [False, True, False]
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False], "no fuller than full"
