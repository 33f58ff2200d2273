"""A daemon for the tests of the C library, and C programs of a user without any rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from root.daemon.harness import NOBODY_UID, Daemon, running
from root.left import left_since, snapshot
from root.network import Pair, veth_pair
from support.c_client import CClient

from pfq.daemon.limits import Limits

PLENTY = Limits(user_connections=64, user_endpoints=64, changes_per_second=1000, changes_at_once=1000)


@dataclass(frozen=True)
class Place:
    """Where tests are: a pair of devices, and a daemon at one of them."""

    pair: Pair
    daemon: Daemon


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One daemon for the tests of a file. Nothing may be left once it has ended, either."""
    before = snapshot()
    with veth_pair() as pair, running(pair, limits=PLENTY) as daemon:
        yield Place(pair, daemon)
    left = left_since(before)
    assert not left, "left behind: " + ", ".join(left)


@pytest.fixture
def c_programs(place: Place) -> Iterator[Callable[..., CClient]]:
    """Makes C programs, which have to end well with the test."""
    with ExitStack() as undo:

        def make(uid: int = NOBODY_UID, **options: Any) -> CClient:
            return undo.enter_context(CClient(place.daemon.path, uid, **options))

        yield make


@pytest.fixture
def c(c_programs: Callable[..., CClient]) -> CClient:
    """A C program."""
    return c_programs()
