"""R2: opening and closing many captures gives everything back."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
from root.capture.harness import MODES, flow_frame, opened, packets, send, settled
from root.left import left_since, snapshot
from root.network import Pair

from pfq.engine.hooks import HookChoice
from pfq.kernel import features

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

MIB = 1 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    """Mappings of BPF maps."""
    return Path("/proc/self/maps").read_text().count("bpf-map")


def once(pair: Pair, hook: HookChoice) -> None:
    """A capture with all that can be, used a little."""
    direction = "inout" if hook in ("tcx", "clsact") else "in"
    with opened(pair, "ip >-> steer_flow", endpoints=2, hook=hook, direction=direction, promiscuous=True) as capture:
        with pair.sender() as sender:
            send(sender, map(flow_frame, range(32)))
        settled(capture, 32)
        capture.stop()
        assert sum(len(packets(reader)) for reader in capture) == 32


def test_R2_fifty_captures(netns_pair: Pair) -> None:
    modes = [mode for mode in MODES if mode != "tcx" or features.available("tcx")]
    for _ in range(2):
        for mode in modes:
            once(netns_pair, mode)
    gc.collect()
    before = (descriptors(), mappings(), threading.active_count())
    objects, memory = snapshot(), resident()
    for turn in range(50):
        once(netns_pair, modes[turn % len(modes)])
    assert (descriptors(), mappings(), threading.active_count()) == before, "also without a garbage collection"
    assert resident() - memory < 4 * MIB
    assert not left_since(objects)
