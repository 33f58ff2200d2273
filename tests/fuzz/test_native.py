"""`make fuzz`: the C library under libFuzzer, for longer; what it finds goes to tests/corpus."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.libfuzzer import TARGETS, Target, missing

pytestmark = pytest.mark.fuzz

MOST_KEPT = 40
"""Files of one run: the corpus stays small."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_native(name: str, tmp_path: Path) -> None:
    """Runs for FUZZ_SECONDS (600)."""
    if (why := missing()) is not None:
        pytest.skip(why)
    target = Target(name, tmp_path)
    ran = target.run(f"-max_total_time={os.environ.get('FUZZ_SECONDS') or 600}")
    kept = target.keep(ran.culprit, MOST_KEPT)
    print(f"{name}: {len(kept)} inputs kept; {ran.log.strip().splitlines()[-1]}", flush=True)
    assert ran.culprit is None, f"{ran.log[-6000:]}\nkept as {kept[0]}"
