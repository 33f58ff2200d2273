"""The ways to attach, as a parameter of the tests of the whole data path."""

from __future__ import annotations

from typing import cast

import pytest

from pfq.engine.hooks import HookChoice
from pfq.kernel import features

MODES: tuple[HookChoice, ...] = ("xdp", "xdp-generic", "tcx", "clsact")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> HookChoice:
    """Each hook that takes incoming packets."""
    hook = cast(HookChoice, request.param)
    if hook == "tcx" and not features.available("tcx"):
        pytest.skip("tcx came with Linux 6.6")
    return hook
