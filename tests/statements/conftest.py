"""Fixtures of the tests of the behaviour statements, which bear their numbers: test_s43_… is statement 43."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from root.conftest import netns_pair, nothing_left, pytest_configure
from support.statements import Meanings

from pfq.codegen.spec import Hook
from pfq.engine.hooks import XDP_NATIVE, Way, traffic_control

__all__ = ["netns_pair", "nothing_left", "pytest_configure"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    from pfq.kernel.privilege import missing_privilege

    needs_rights = any(item.get_closest_marker(name) for name in ("agree", "root"))
    if needs_rights and (why := missing_privilege()):
        pytest.skip(why)


@pytest.fixture(scope="module")
def decide() -> Iterator[Meanings]:
    """The action of a program for a frame, the same in all meanings. Programs stay loaded until the module ends."""
    with ExitStack() as undo:
        yield Meanings(undo)


@pytest.fixture(params=["xdp", "tc"])
def way(request: pytest.FixtureRequest) -> Way:
    """Both kinds of hook that take incoming packets."""
    return XDP_NATIVE if request.param == "xdp" else traffic_control(Hook.TC_INGRESS)
