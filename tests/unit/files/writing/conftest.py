from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.rings import FakeRings

from pfq.ring import Batch

NOON_NS = 1_700_000_000_123_456_789


@pytest.fixture
def batch() -> Iterator[Batch]:
    """Frames of 0, 1, 2, 3, 60 and 200 bytes, the last cut at 96, a nanosecond apart from NOON_NS on."""
    with FakeRings() as rings, rings.reader() as reader:
        for i, size in enumerate((0, 1, 2, 3, 60, 200)):
            rings.publish(bytes([0x80 + i]) * size, ts_ns=NOON_NS + i)
        read = reader.read()
        assert read is not None
        yield read
