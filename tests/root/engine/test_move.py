"""Programs that move from XDP to TC while packets flow: each packet meets the old one or the new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from root.capture.harness import send
from root.capture.test_forwarding import COUNT, FRAMES, add_target
from root.engine.harness import adds_up, arrived, bound_group, engine_of, joined, waiting
from root.engine.test_swap import RATE_PPS, collecting
from root.network import Pair, eventually, traffic

from pfq.engine import bindings
from pfq.engine.egress import Egress
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.engine.hooks import XDP_GENERIC, Way, incoming_ways
from pfq.errors import OutputError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


def join(group: Group) -> None:
    joined(group, egress=Egress("out0"))


def forward(group: Group) -> None:
    group.set_program('kernel >-> forward "out0"')


@pytest.fixture
def target(netns_pair: Pair) -> Pair:
    add_target(netns_pair, "out0")
    return netns_pair


def way_of(engine: Engine) -> str:
    (side,) = engine.sides.values()
    return str(side.way)


@pytest.mark.slow
@pytest.mark.parametrize("change", [join, forward])
def test_none_is_unseen_and_none_is_seen_twice(target: Pair, change: Callable[[Group], None]) -> None:
    with engine_of(target) as engine:
        group = bound_group(target, engine, "kernel", binding="inline")  # so that packets get from XDP to TC
        ring = joined(group, slots=1 << 17)
        assert way_of(engine) == "XDP (native)"
        with collecting(ring) as found:
            with traffic(target, rate_pps=RATE_PPS) as sender:
                assert eventually(lambda: group.statistics().arrived > 1000)
                target.b.call(change, group)
                before = sender.sent
                assert eventually(lambda: sender.sent > before + 1000)
            arrived(group, sender.sent)
            numbers, _ = found.end()
        assert way_of(engine).startswith("TC ingress")
        assert np.array_equal(np.sort(numbers), np.arange(sender.sent))
        assert adds_up(group)
        assert target.b.call(lambda: bindings.ethernet_device(target.dev_b)).xdp is None


def test_a_move_that_fails_is_undone(target: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_of(target) as engine:
        group = bound_group(target, engine, binding="inline")
        ring = joined(group, slots=1 << 17)
        before = way_of(engine)
        with collecting(ring) as found:
            with traffic(target, rate_pps=RATE_PPS // 10) as sender:
                assert eventually(lambda: group.statistics().arrived > 100)

                def fail(must: bool = True) -> None:
                    raise OutputError("no room on the disk")

                with monkeypatch.context() as patched:
                    patched.setattr(engine, "save", fail)
                    with pytest.raises(OutputError):
                        target.b.call(forward, group)
                assert way_of(engine) == before
                seen = group.statistics().arrived
                assert eventually(lambda: group.statistics().arrived > seen + 100)
            found.end()
        assert eventually(lambda: group.statistics().arrived >= sender.sent * 0.9)
        assert adds_up(group)


def test_in_generic_mode_it_moves_too(target: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a gap."""

    def ways(*args: Any) -> tuple[Way, ...]:
        found = incoming_ways(*args)
        return (XDP_GENERIC,) if XDP_GENERIC in found else found

    monkeypatch.setattr(bindings, "incoming_ways", ways)
    with engine_of(target) as engine, target.sender() as sender:
        group = bound_group(target, engine, binding="inline")
        ring = joined(group)
        send(sender, FRAMES)
        arrived(group, COUNT)
        assert way_of(engine) == "XDP (generic)"
        target.b.call(forward, group)
        assert way_of(engine).startswith("TC ingress")
        send(sender, FRAMES)
        arrived(group, 2 * COUNT)
        assert [each.data for each in waiting(ring)] == FRAMES * 2
        assert (group.statistics().forwarded, group.statistics().unsent) == (COUNT, 0)
