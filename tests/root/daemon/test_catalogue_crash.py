"""Rows C5, C7, C8 and C11 of the catalogue of reliability, with the daemon and clients that are processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.daemon.readers import Reading
from root.network import Pair, eventually, traffic

import pfq

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

RATE_PPS = 50_000
SWAPS = 50


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("how", "count"), [("SIGKILL", 100_000), ("SIGSEGV", 20_000)])
def test_C5_C11_clients_get_every_packet_although_the_daemon_dies(
    netns_pair: Pair, daemon: Pfqd, how: str, count: int
) -> None:
    daemon.configure(group(3, "inc 1 >-> broadcast", (netns_pair.dev_b,)))
    daemon.start()
    with Reading(daemon.path, 3, count) as one, Reading(daemon.path, 3, count) as other:
        links = daemon.links()
        assert len(links) == 1
        with traffic(netns_pair, RATE_PPS, limit=count) as sender:
            assert eventually(lambda: sender.sent > count // 4, 20.0)
            assert daemon.end(signal.Signals[how]) == -signal.Signals[how]
            at_death = sender.sent
            assert eventually(lambda: sender.sent > at_death + count // 8, 20.0)
            daemon.start()
            assert daemon.ask("status")["adopted"]
            assert daemon.links() == links
            assert eventually(lambda: sender.sent == count, 20.0)
        for reader in (one, other):
            assert reader.told() == {"count": count, "different": count, "ended": None, "lost": 0}
        assert daemon.ask("group.statistics", group=3)["arrived"] == count
        assert daemon.ask("group.statistics", group=3)["counters"][1] == count


@pytest.mark.slow
def test_C7_each_packet_meets_one_program(netns_pair: Pair, daemon: Pfqd) -> None:
    """A client swaps the program while others read; every packet is counted by one of the programs."""
    daemon.configure(group(3, "inc 0 >-> broadcast", (netns_pair.dev_b,)))
    daemon.start()
    with Reading(daemon.path, 3, 1 << 30) as reader, pfq.connect(daemon.path) as engine:
        mine = engine.endpoint(slots=8, enabled=False)
        joined = engine.group(3)
        joined.join(mine)
        with traffic(netns_pair, 20_000) as sender:
            for number in range(SWAPS):
                joined.set_program(f"inc {1 + number % 8} >-> broadcast")
        assert eventually(lambda: joined.statistics().arrived == sender.sent, 10.0)
        found = joined.statistics()
        assert sum(found.counters) == found.arrived == found.selected == sender.sent
        assert sum(map(bool, found.counters)) > 4, "most programs met some packet"
        reader.process.kill()


def test_C8_a_refused_program_changes_nothing(netns_pair: Pair, daemon: Pfqd) -> None:
    """Every packet goes on meeting the old one; whoever asked is told why, with the place."""
    daemon.configure(group(3, "inc 2 >-> broadcast", (netns_pair.dev_b,)))
    daemon.start()
    before = daemon.program(netns_pair.dev_b)
    huge = " >-> ".join(f"inc {number % 64}" for number in range(5000))
    with pfq.connect(daemon.path) as engine, traffic(netns_pair, 5000) as sender:
        endpoint = engine.endpoint(slots=8, enabled=False)
        joined = engine.group(3)
        joined.join(endpoint)
        for text, expected in (
            ("inc 2 >-> stear_flow", "unknown name `stear_flow`"),
            (huge, "too large|at most"),
            ('link ["pfqt-none"]', "cannot at the hook `xdp`"),
            ('filter (addr_in "/etc/hosts")', "cannot name files"),
        ):
            with pytest.raises(pfq.PfqError, match=expected):
                joined.set_program(text)
    with pfq.connect(daemon.path) as engine:
        assert eventually(lambda: engine.statistics(3).arrived == sender.sent, 10.0)
        assert engine.statistics(3).counters[2] == sender.sent
    assert daemon.program(netns_pair.dev_b) == before


def test_requests_wait_for_the_next_daemon(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    with pfq.connect(daemon.path) as engine:
        joined = engine.group(3)
        joined.join(engine.endpoint(slots=8))
        daemon.end(signal.SIGABRT)
        asked = threading.Thread(target=joined.set_program, args=("inc 9",))
        asked.start()
        daemon.start()
        asked.join(20)
        assert not asked.is_alive()
        assert daemon.ask("list")["groups"][0]["program"] == "inc 9"
