"""The ways to attach, as a parameter of the tests of the whole data path."""

from __future__ import annotations

from typing import cast

import pytest
from root.capture.harness import MODES, NEEDS_TCX

from pfq.engine.hooks import HookChoice


@pytest.fixture(params=[pytest.param(mode, marks=NEEDS_TCX if mode == "tcx" else ()) for mode in MODES])
def mode(request: pytest.FixtureRequest) -> HookChoice:
    """Each hook that takes incoming packets."""
    return cast(HookChoice, request.param)
