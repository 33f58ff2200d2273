"""Engines on a veth pair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from root.capture.harness import Packet, packets
from root.network import Pair, eventually

import pfq
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.kernel.programs import wait_for_running_programs


@contextmanager
def engine_of(pair: Pair) -> Iterator[Engine]:
    """An engine in the namespace of `dev_b`."""
    with pair.b.call(pfq.Engine) as engine:
        yield engine


def bound_group(pair: Pair, engine: Engine, program: Any = None, number: int | None = None, **options: Any) -> Group:
    """A group that gets what arrives at `dev_b`."""
    group = engine.group(number)
    group.set_program(program)
    pair.b.call(group.bind, pair.dev_b, **options)
    return group


def joined(group: Group, classes: int = 1, **options: Any) -> Endpoint:
    """A new member of a group."""
    endpoint: Endpoint = group._engine.endpoint(**{"snaplen": 96, "slots": 4096} | options)
    group.join(endpoint, classes)
    return endpoint


def arrived(group: Group, count: int) -> None:
    """Waits until so many packets have come to a group, and every program has done with them."""
    assert eventually(lambda: group.statistics().arrived >= count, 5.0)
    wait_for_running_programs()
    assert group.statistics().arrived == count


def waiting(endpoint: Endpoint) -> list[Packet]:
    """What waits for an end-point."""
    return packets(iter(lambda: endpoint.reader.read(timeout=0), None))  # type: ignore[arg-type]


def adds_up(group: Group) -> bool:
    """A packet of a group is in one place."""
    found = group.statistics()
    return found.arrived == found.filtered + found.dropped + found.selected
