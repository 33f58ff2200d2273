"""A daemon ends without a word and another one takes over: C programs read on, and go on as they were."""

from __future__ import annotations

import errno
import grp
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from root.client_c.conftest import PLENTY
from root.daemon.harness import NOBODY_UID, Daemon, running
from root.daemon.process import pfqd_of
from root.network import Pair, eventually, numbered, traffic
from support.c_client import ANY, DEFAULT, SHARED, CClient

from pfq.engine.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def engine(netns_pair: Pair) -> Iterator[Engine]:
    """What outlives the daemons."""
    with netns_pair.b.call(Engine) as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pfqt-") as made:
        yield Path(made)


@contextmanager
def dying(pair: Pair, engine: Engine, folder: Path) -> Iterator[Daemon]:
    """A daemon that says no goodbye."""
    with running(pair, limits=PLENTY, engine=engine, folder=folder, goodbye=False) as daemon:
        yield daemon


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        sender.send(numbered(n) for n in range(count))


def begin(c: CClient, pair: Pair) -> int:
    opened = c.open(SHARED, snaplen=64, slots=32768)
    assert opened.code == 0, opened.text
    c.must("bind", 0, pair.dev_b, ANY)
    c.must("enable", 0)
    c.must("drain", 0)
    return c.must("group_id", 0).code


def test_C4_reading_goes_on_and_calls_come_back(netns_pair: Pair, engine: Engine, folder: Path) -> None:
    with dying(netns_pair, engine, folder) as daemon:
        c = CClient(daemon.path)
        group = begin(c, netns_pair)
    send(netns_pair, 10)
    assert c.must("poll", 0, 5_000_000).code == 1
    assert eventually(lambda: c.must("stats", 0).numbers[0] == 10, 5.0)
    assert c.must("drain", 0).code == 10, "nobody is needed for that"
    assert c.must("drain", 0).code == 0
    assert c("poll", 0, 300_000).code == 0
    with dying(netns_pair, engine, folder):
        assert c.must("get_group_stats", 0, group).numbers[0] == 10
        c.must("set_weight", 0, 4)
        c.must("set_group_program", 0, group, "inc 1")
        assert engine.endpoints[c.must("id", 0).code].weight == 4
        send(netns_pair, 5)
        assert eventually(lambda: c.must("get_group_counters", 0, group).numbers[1] == 5, 5.0)
        assert c.must("drain", 0).code == 5
        c.close()
        assert eventually(lambda: not engine.endpoints, 5.0), "it belongs to the connection again"


def test_C4_a_call_waits_for_the_next_daemon(netns_pair: Pair, engine: Engine, folder: Path) -> None:
    with dying(netns_pair, engine, folder) as daemon:
        c = CClient(daemon.path)
        begin(c, netns_pair)
    c.ask("set_weight", 0, 7)
    time.sleep(0.5)
    with dying(netns_pair, engine, folder):
        assert c.answer().code == 0
        c.close()


@pytest.mark.parametrize(("waits", "how_much"), [("poll", 10_000_000), ("listen", 1)])
def test_C4_who_only_waits_finds_the_next_daemon(
    netns_pair: Pair, engine: Engine, folder: Path, waits: str, how_much: int
) -> None:
    """By the library's own waiting, and by epoll."""
    with dying(netns_pair, engine, folder) as daemon:
        c = CClient(daemon.path)
        begin(c, netns_pair)
    c.ask(waits, 0, how_much)
    time.sleep(0.5)
    with dying(netns_pair, engine, folder) as daemon:
        assert eventually(lambda: len(daemon.service.clients()) == 1, 2.5)
        assert eventually(lambda: daemon.service.clients()[0]["endpoints"] == [0], 1.0)
        send(netns_pair, 1)
        assert c.answer().code == 1
        c.close()


def test_C4_many_daemons_in_a_row(netns_pair: Pair, engine: Engine, folder: Path) -> None:
    """Packets come all the time; none is lost, and the handle lives through all of it."""
    c = None
    for n in range(5):
        with dying(netns_pair, engine, folder) as daemon:
            if c is None:
                c = CClient(daemon.path)
                group = begin(c, netns_pair)
            c.must("set_weight", 0, 1 + n)
        send(netns_pair, 20)
        assert c.must("listen", 0, 20).code == 20
    with dying(netns_pair, engine, folder):
        assert c is not None
        assert c.must("get_group_stats", 0, group).numbers[0] == 100
        assert c.must("stats", 0).numbers == [100, 0, 100, 100]
        c.close()


def test_C4_another_daemon_does_not_know_the_session(netns_pair: Pair, folder: Path) -> None:
    with running(netns_pair, limits=PLENTY, folder=folder, goodbye=False) as daemon:
        c = CClient(daemon.path)
        begin(c, netns_pair)
    with running(netns_pair, limits=PLENTY, folder=folder):
        said = c("set_weight", 0, 2)
        assert (said.code, "does not know" in said.text) == (-errno.ECONNRESET, True)
        assert c("poll", 0, -1).code == -errno.ECONNRESET
        assert c("drain", 0).code == -errno.ECONNRESET
        assert c("join_group", 0, 3, DEFAULT, SHARED).code == -errno.ECONNRESET
        c.must("close", 0)
        c.open(SHARED)
        c.close()


def test_C4_closing_while_there_is_no_daemon(netns_pair: Pair, engine: Engine, folder: Path) -> None:
    with dying(netns_pair, engine, folder) as daemon:
        c = CClient(daemon.path)
        begin(c, netns_pair)
    begun = time.monotonic()
    c.must("close", 0)
    assert time.monotonic() - begun < 5, "it waits for nobody"
    c.close()
    with dying(netns_pair, engine, folder):
        assert eventually(lambda: not engine.endpoints, 5.0), "its process is gone"


def test_C1_killed_under_traffic(netns_pair: Pair) -> None:
    """The process itself, by SIGKILL, three times, and a client without any rights but those of the configuration."""
    rights = '[[rights]]\nuser = "*"\ngroups = "*"\ndevices = "*"\nallow = ["configure"]\n'
    with pfqd_of(netns_pair) as daemon:
        daemon.configure(rights, f'group = "{grp.getgrgid(NOBODY_UID).gr_name}"')
        daemon.state.mkdir(0o755)
        daemon.start()
        with CClient(daemon.path, NOBODY_UID) as c:
            group = begin(c, netns_pair)
            with traffic(netns_pair, 500) as sender:
                for _ in range(3):
                    daemon.end(signal.SIGKILL)
                    before = sender.sent
                    assert c.must("poll", 0, 5_000_000).code == 1
                    c.must("drain", 0)
                    assert eventually(lambda before=before: sender.sent > before + 50, 10.0)
                    daemon.start()
                    c.must("set_weight", 0, 3)
                    c.must("drain", 0)
            assert eventually(lambda: c.must("stats", 0).numbers[0] == sender.sent, 10.0)
            c.must("drain", 0)
            assert c.must("stats", 0).numbers == [sender.sent, 0, sender.sent, sender.sent]
            assert c.must("get_group_stats", 0, group).numbers[0] == sender.sent
