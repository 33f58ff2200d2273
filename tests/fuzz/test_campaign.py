"""`make fuzz`: agreement over millions of pairs, other ones each time. A failure names the seed."""

from __future__ import annotations

import os
import secrets
import time

import pytest
from support.campaign import run

from pfq.kernel.privilege import missing_privilege

pytestmark = pytest.mark.fuzz

ROUND, FRAMES_EACH = 200, 1000


@pytest.mark.timeout(0)
def test_agreement() -> None:
    """Runs for FUZZ_SECONDS (600), from FUZZ_SEED on."""
    if (why := missing_privilege()) is not None:
        pytest.skip(why)
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(1 << 32))
    end = time.monotonic() + float(os.environ.get("FUZZ_SECONDS") or 600)
    pairs = 0
    print(f"FUZZ_SEED={seed}")
    while time.monotonic() < end:
        pairs += run(ROUND, FRAMES_EACH, seed).pairs
        seed += 1
        print(f"{pairs:,} pairs agree, next seed {seed}", flush=True)
    assert pairs
