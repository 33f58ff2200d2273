"""End-points of the daemon."""

from __future__ import annotations

import os

import pytest
from support import fakepfqd
from support.fakepfqd import FakeDaemon
from support.rings import frame_of

from pfq.client.engine import RemoteEngine
from pfq.engine.egress import Egress
from pfq.engine.statistics import EndpointStatistics
from pfq.errors import KernelRefusedError, RingClosedError, UsageError


def test_what_is_asked_for_goes_to_the_daemon(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint(snaplen=96, slots=8, clock="coarse", weight=3)
    assert daemon.asked[-1] | {"id": 0} == {
        "id": 0,
        "call": "endpoint.open",
        "snaplen": 96,
        "slots": 8,
        "clock": "coarse",
        "weight": 3,
        "enabled": True,
        "egress": None,
    }
    assert (endpoint.number, endpoint.slots, endpoint.slot_bytes, endpoint.snaplen) == (0, 8, 128, 96)
    assert endpoint.weight == 3
    assert endpoint.enabled


def test_packets_are_read_from_rings_that_came_in_several_messages(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint()
    before = len(os.listdir("/proc/self/fd"))
    daemon.rings[0].publish(*map(frame_of, range(5)))
    batch = endpoint.reader.read(timeout=5)
    assert batch is not None
    assert [batch.bytes(i) for i in range(5)] == [frame_of(i) for i in range(5)]
    assert endpoint.statistics() == EndpointStatistics(5, 5, 0, 5, 0)
    daemon.rings[0].publish(*map(frame_of, range(9)))
    assert endpoint.statistics() == EndpointStatistics(14, 8, 6, 5, 3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_weight_and_shape_are_set_at_the_daemon(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint(enabled=False)
    for name, value in (("weight", 5), ("snaplen", 64), ("slots", 16), ("clock", "none")):
        setattr(endpoint, name, value)
        assert daemon.asked[-1] | {"id": 0} == {"id": 0, "call": "endpoint.set", "endpoint": 0, name: value}
        assert getattr(endpoint, name) == value


def test_a_disabled_endpoint_has_no_reader(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint(enabled=False)
    assert not endpoint.enabled
    with pytest.raises(UsageError, match="has no rings"):
        _ = endpoint.reader
    endpoint.enable()
    first = endpoint.reader
    daemon.rings[0].publish(frame_of(1))
    assert first.read(timeout=5) is not None
    endpoint.disable()
    assert first.closed
    with pytest.raises(UsageError, match="has no rings"):
        _ = endpoint.reader
    endpoint.enable()
    assert endpoint.reader is not first
    assert endpoint.reader.read(timeout=0) is None


def test_an_endpoint_without_rings_asks_the_daemon_for_its_counters(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    daemon.answers["endpoint.statistics"] = lambda request: {
        "selected": 5,
        "delivered": 4,
        "lost": 1,
        "read": 4,
        "waiting": 0,
    }
    assert engine.endpoint(enabled=False).statistics() == EndpointStatistics(5, 4, 1, 4, 0)


def test_a_closed_endpoint_is_closed(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    with engine.endpoint() as endpoint:
        reader = endpoint.reader
    assert reader.closed
    endpoint.close()
    assert daemon.calls() == ["endpoint.open", "endpoint.close"]
    for use in (endpoint.enable, endpoint.disable):
        with pytest.raises(RingClosedError):
            use()
    assert endpoint.statistics().read == 0


def test_an_endpoint_whose_rings_cannot_be_mapped_is_closed(
    daemon: FakeDaemon, engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fakepfqd.SHAPE, "slots", 7)
    with pytest.raises(KernelRefusedError):
        engine.endpoint()
    assert daemon.calls() == ["endpoint.open", "endpoint.close"]


def test_an_egress_endpoint_says_where(daemon: FakeDaemon, engine: RemoteEngine) -> None:
    endpoint = engine.endpoint(egress=Egress("eth3", 1), enabled=False)
    assert daemon.asked[-1]["egress"] == {"device": "eth3", "queue": 1}
    assert endpoint.egress == Egress("eth3", 1)
    endpoint.egress = None
    assert daemon.asked[-1]["egress"] is None
    assert endpoint.egress is None
