"""V1: interpreter, native code and eBPF agree on 200,000 pairs of program and frame."""

from __future__ import annotations

import pytest
from support.campaign import pool, run

pytestmark = pytest.mark.agree

PROGRAMS, FRAMES_EACH = 520, 400


def test_the_pool_has_frames_of_all_kinds() -> None:
    assert len(pool()) > 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_V1_random_programs_over_many_frames() -> None:
    campaign = run(PROGRAMS, FRAMES_EACH)
    assert campaign.pairs >= 200_000
    assert campaign.programs >= 500
