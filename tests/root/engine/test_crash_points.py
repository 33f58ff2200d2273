"""C6: an engine is killed after each call by which it changes anything, and the next one goes on from there."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
from root.network import Namespace

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

HOOKS = ("xdp", "clsact", *(pytest.param(hook, marks=pytest.mark.feature("tcx")) for hook in ("tcx", "move")))
SAMPLE = 12
"""One step of so many in a normal run; over thirty in all."""


def crashed(netns: Namespace, hook: str, part: int, parts: int) -> dict[str, Any]:
    """What came out of `root.engine.crashing`, in a namespace with a veth pair."""
    index = str(100_000 + os.getpid())
    link = ["ip", "link", "add", "pfqt-a", "type", "veth", "peer", "name", "pfqt-b", "index", index]
    netns.run(*link)
    for device in ("pfqt-a", "pfqt-b"):
        netns.run("ip", "link", "set", device, "up")
    code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom root.engine.crashing import main\n"
    code += f"main({hook!r}, {part}, {parts})"
    try:
        found: dict[str, Any] = json.loads(netns.run(sys.executable, "-c", code))
    finally:
        netns.run("ip", "link", "del", "pfqt-a", check=False)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("hook", HOOKS)
def test_C6_a_sample_of_steps(netns: Namespace, hook: str) -> None:
    found = crashed(netns, hook, {"xdp": 0, "tcx": 3, "clsact": 6, "move": 9}[hook], SAMPLE)
    assert not found["wrong"], found["wrong"]
    assert found["died"] >= 8
    assert found["steps"] > 100


@pytest.mark.long
@pytest.mark.parametrize("hook", HOOKS)
def test_C6_every_step(netns: Namespace, hook: str) -> None:
    found = crashed(netns, hook, 0, 1)
    assert not found["wrong"], found["wrong"]
    assert found["died"] >= 80
