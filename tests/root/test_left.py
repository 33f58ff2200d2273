"""The check that nothing is left finds what is left."""

from __future__ import annotations

import pytest
from root.kernel.counted import XDP_PASS, Counted
from root.left import left_since, snapshot
from root.network import Pair, namespace

from pfq.kernel.attach import XdpLink

pytestmark = pytest.mark.root


def test_what_is_left_is_found(netns_pair: Pair) -> None:
    before = snapshot()
    with Counted(XDP_PASS, name="left") as counted, namespace("left") as made:
        link = netns_pair.b.call(XdpLink.attach, counted.program, netns_pair.ifindex_b)
        number = counted.program.id
        found = left_since(before, seconds=0.1)
        assert [text.split()[0] for text in found] == ["link", "map", "namespace", "program"]
        assert f"program {number} `left`" in found
        assert f"namespace {made.name}" in found
        link.detach()
    assert left_since(before) == []
