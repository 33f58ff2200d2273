from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.rings import FakeRings

from pfq.ring import Reader


@pytest.fixture
def rings() -> Iterator[FakeRings]:
    """One ring of 8 slots."""
    with FakeRings() as fake:
        yield fake


@pytest.fixture
def reader(rings: FakeRings) -> Iterator[Reader]:
    """The reader of `rings`."""
    with rings.reader() as opened:
        yield opened
