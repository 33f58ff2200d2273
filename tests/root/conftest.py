"""Fixtures of the tests that need root: namespaces of their own, and the check that nothing is left."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from root.left import left_since, snapshot
from root.network import Namespace, Pair, namespace, veth_pair


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feature(name): needs a row of pfq.kernel.features")
    os.environ["PFQT_RUN"] = str(os.getpid())  # marks what the tests start; see root.left


def pytest_runtest_setup(item: pytest.Item) -> None:
    from pfq.kernel import features
    from pfq.kernel.privilege import missing_privilege

    if why := missing_privilege():
        pytest.skip(why)
    for mark in item.iter_markers("feature"):
        if why := features.missing(mark.args[0]):
            pytest.skip(f"{mark.args[0]}: {why}")


@pytest.fixture
def netns() -> Iterator[Namespace]:
    """An empty network namespace."""
    with namespace() as made:
        yield made


@pytest.fixture
def netns_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two namespaces with a veth pair. Several queues: `@pytest.mark.parametrize("netns_pair", [2], indirect=True)`."""
    with veth_pair(getattr(request, "param", 1)) as pair:
        yield pair


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails with a list when BPF programs, maps, links or namespaces of the test remain after it.

    Name it before the fixtures that make things, or for a whole module:
    `pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]`.
    """
    before = snapshot()
    yield
    left = left_since(before)
    assert not left, "left behind: " + ", ".join(left)
