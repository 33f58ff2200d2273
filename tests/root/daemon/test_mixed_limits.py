"""L7, L8: a member that does not read costs the others nothing, and counters go on beyond 32 bits."""

from __future__ import annotations

import json
import struct
from contextlib import ExitStack

import pytest
from root.daemon.harness import running
from root.daemon.members import python_member
from root.daemon.process import pfqd_of
from root.network import Pair, eventually, numbered, traffic

import pfq
from pfq import layout
from pfq.cli import commands
from pfq.codegen import layouts
from pfq.engine.rings import Rings
from pfq.engine.statistics import EndpointStatistics
from pfq.kernel.maps import Map

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

GROUP = 7
COUNT = 100_000
STALLED_SLOTS = 1024
WRAP = 1 << 32
AT = {member.name: member.offset for member in (*layout.PRODUCER, *layout.CONSUMER)}


def test_L7_a_stalled_member_of_a_group_of_processes(netns_pair: Pair) -> None:
    """Everything goes to all four. Three have it all, and each CPU's ring of the fourth is full; it alone has lost."""
    with pfqd_of(netns_pair) as daemon, ExitStack() as undo:
        daemon.start()
        engine = undo.enter_context(pfq.connect(daemon.path))
        group, stalled = engine.group(GROUP), engine.endpoint(snaplen=64, slots=STALLED_SLOTS)
        group.join(stalled)
        group.bind(netns_pair.dev_b)
        others = [undo.enter_context(python_member(daemon, GROUP, slots=1 << 16)).ready() for _ in range(3)]
        with traffic(netns_pair, 40_000, limit=COUNT) as sender:
            assert eventually(lambda: sender.sent == COUNT, 60.0)
        assert eventually(lambda: group.statistics().arrived == COUNT, 5.0)
        for member in others:
            assert (sum(member.finish().values()), member.lost) == (COUNT, 0)
        counts = stalled.statistics()
        rings = engine.connection.session.greeting["cpus"]
        assert counts.delivered % STALLED_SLOTS == 0
        assert 1 <= counts.delivered // STALLED_SLOTS <= rings
        assert counts == EndpointStatistics(COUNT, counts.delivered, COUNT - counts.delivered, 0, counts.delivered)
        read = 0
        while (batch := stalled.reader.read(timeout=0)) is not None:
            read += len(batch)
        assert read == counts.delivered


def preload(monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    """Rings that begin just before their counters have 33 bits: `head`, `tail` and `lost`."""
    freeze, create = Map.freeze, Rings.create.__func__

    def written(ring: Map) -> None:
        with ring.mmap(writable=True, pages=1) as line:
            struct.pack_into("<Q", line, AT["head"], WRAP - slots)
            struct.pack_into("<Q", line, AT["lost"], WRAP - 1)
        freeze(ring)

    def made(cls: type[Rings], *arguments: object) -> Rings:
        rings: Rings = create(cls, *arguments)
        with rings.consumer.mmap(writable=True) as page:
            for cpu in range(len(rings.rings)):
                struct.pack_into("<Q", page, cpu * layout.CONSUMER_BYTES + AT["tail"], WRAP - slots)
        return rings

    monkeypatch.setattr(Map, "freeze", written)
    monkeypatch.setattr(Rings, "create", classmethod(made))


def test_L8_counters_go_on_beyond_32_bits(
    netns_pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slots, count = 8, 30
    preload(monkeypatch, slots)
    with running(netns_pair) as daemon, pfq.connect(daemon.path) as engine:
        cpus = engine.connection.session.greeting["cpus"]
        group, endpoint = engine.group(GROUP), engine.endpoint(snaplen=64, slots=slots)
        group.join(endpoint)
        group.set_program("inc 5")
        group.bind(netns_pair.dev_b)
        place = GROUP * layouts.GROUP_COUNTER_BYTES
        for name in ("arrived", "selected"):
            struct.pack_into("<Q", daemon.engine.memory._counters, place + layouts.COUNTER_OFFSETS[name], WRAP - 10)
        struct.pack_into("<Q", daemon.engine.memory._counters, place + layouts.USER_COUNTERS + 5 * 8, WRAP - 10)
        with netns_pair.sender() as sender:
            sender.send(map(numbered, range(count)))
        assert eventually(lambda: group.statistics().arrived == WRAP - 10 + count, 5.0)
        found, before = endpoint.statistics(), cpus * (WRAP - slots)
        assert found.selected == before + cpus * (WRAP - 1) + count
        assert found.delivered >= before + slots
        assert found.selected == found.delivered + found.lost
        read = []
        while (batch := endpoint.reader.read(timeout=0)) is not None:
            read += [batch.bytes(i)[:60] for i in range(len(batch))]
        assert len(read) == found.delivered - before
        assert set(read) <= {numbered(i) for i in range(count)}
        assert group.statistics().selected == WRAP - 10 + count
        assert group.counters()[5] == WRAP - 10 + count
        with pytest.raises(SystemExit):
            commands.main(["stats", "-j", "--socket", str(daemon.path)])
        told = json.loads(capsys.readouterr().out)
        assert told["groups"][0]["arrived"] == WRAP - 10 + count
        assert told["endpoints"][0]["selected"] == found.selected
