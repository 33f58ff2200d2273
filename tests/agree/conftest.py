"""Agreement tests need the rights for eBPF; elsewhere they say so and are skipped."""

from __future__ import annotations

import pytest

from pfq.kernel.privilege import missing_privilege


@pytest.fixture(autouse=True)
def _privilege() -> None:
    if (why := missing_privilege()) is not None:
        pytest.skip(why)
