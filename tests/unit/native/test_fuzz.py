"""The C library under libFuzzer: kept inputs and past crashes, then new ones for a while; `make fuzz` for longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.libfuzzer import TARGETS, Target, missing

SECONDS = {"reader": 60, "writer": 10, "flow": 10, "message": 10}
"""How long each target is tried in every run of the tests; these are lengths of work, nothing is measured."""


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_M8_fuzz(name: str, tmp_path: Path) -> None:
    if (why := missing()) is not None:
        pytest.skip(why)
    target = Target(name, tmp_path)
    ran = target.run("-seed=1", f"-max_total_time={SECONDS[name]}")
    if ran.culprit:
        pytest.fail(f"{ran.log[-6000:]}\nthe input, to be kept as tests/corpus/*/past-*: {ran.culprit.read_bytes()!r}")
    assert "DONE" in ran.log
