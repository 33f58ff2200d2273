from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fakepfqd import FakeDaemon, fake_daemon

from pfq.client import connect
from pfq.client.engine import RemoteEngine


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A daemon without a kernel."""
    with fake_daemon(tmp_path) as running:
        yield running


@pytest.fixture
def engine(daemon: FakeDaemon) -> Iterator[RemoteEngine]:
    """A client of it."""
    with connect(daemon.path) as connected:
        yield connected
