"""Clients whose daemon ends, in all the ways in which it can, and comes back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from root.daemon.process import Pfqd, pfqd_of
from root.network import Pair, eventually, numbered, traffic

import pfq
from pfq.client.endpoint import RemoteEndpoint
from pfq.client.engine import RemoteEngine
from pfq.errors import DaemonGoneError, RingClosedError

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

GROUP = 7


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.start()
        yield made


@pytest.fixture
def engine(daemon: Pfqd) -> Iterator[RemoteEngine]:
    with pfq.connect(daemon.path) as connected:
        yield connected


@pytest.fixture
def endpoint(netns_pair: Pair, engine: RemoteEngine) -> RemoteEndpoint:
    """A member of the group."""
    made, group = engine.endpoint(snaplen=96, slots=1 << 16), engine.group(GROUP)
    group.join(made)
    group.bind(netns_pair.dev_b)
    return made


def frames(endpoint: RemoteEndpoint, count: int) -> list[bytes]:
    """So many packets of it, in order."""
    found: list[bytes] = []
    while len(found) < count:
        batch = endpoint.reader.read(timeout=5.0)
        assert batch is not None
        found += [batch.bytes(i)[:60] for i in range(len(batch))]
    return sorted(found)


def send(pair: Pair, first: int, count: int) -> list[bytes]:
    made = [numbered(number) for number in range(first, first + count)]
    with pair.sender() as sender:
        sender.send(made)
    return made


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_session_goes_on_with_the_next_daemon(
    netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, endpoint: RemoteEndpoint, number: int
) -> None:
    token = engine.connection.session.greeting["token"]
    with traffic(netns_pair, 10_000, limit=16_000) as sender:
        assert eventually(lambda: sender.sent > 2000, 5.0)
        daemon.end(number)
        before = sender.sent
        assert eventually(lambda: sender.sent > before + 2000, 5.0)
        assert endpoint.statistics().selected >= before + 2000, "packets come while there is no daemon"
        found: list[Any] = []
        call = threading.Thread(target=lambda: found.append(engine.group(GROUP).statistics()))
        call.start()
        daemon.start()
        call.join(10)
        assert found[0].arrived > before, "a call has waited for it, and counters go on"
        endpoint.weight = 3
        assert eventually(lambda: sender.sent == 16_000, 10.0)
    assert engine.connection.session.greeting["token"] == token
    assert frames(endpoint, 16_000) == [numbered(i) for i in range(16_000)]
    assert endpoint.statistics().lost == 0
    (listed,) = engine.listed()["endpoints"]
    assert (listed["endpoint"], listed["weight"], listed["mine"], listed["groups"]) == (0, 3, True, [GROUP])
    engine.group(GROUP).leave(endpoint)


def test_an_endpoint_that_was_closed_without_a_daemon_is_closed_by_the_next(
    netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, endpoint: RemoteEndpoint
) -> None:
    other = engine.endpoint(slots=8)
    engine.group(GROUP).join(other)
    daemon.end(signal.SIGKILL)
    assert eventually(lambda: engine.connection.session.channel is None, 5.0)
    other.close()
    daemon.start()
    assert eventually(lambda: [each["endpoint"] for each in engine.listed()["endpoints"]] == [0], 5.0)
    assert frames(endpoint, len(send(netns_pair, 0, 10))) == [numbered(i) for i in range(10)]


def test_the_daemon_is_stopped(netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, endpoint: RemoteEndpoint) -> None:
    send(netns_pair, 0, 20)
    assert eventually(lambda: endpoint.statistics().delivered == 20, 5.0)
    assert daemon.command("--stop").returncode == 0
    assert sum(len(batch) for batch in endpoint.reader) == 20, "what is there is read, then reading ends"
    with pytest.raises(RingClosedError, match="pfqd was stopped"):
        engine.group(GROUP)
    assert endpoint.statistics().read == 20
    endpoint.close()


def test_a_daemon_that_knows_nothing_of_the_session(
    netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, endpoint: RemoteEndpoint
) -> None:
    """Somebody has taken everything down meanwhile."""
    send(netns_pair, 0, 20)
    assert eventually(lambda: endpoint.statistics().delivered == 20, 5.0)
    daemon.end(signal.SIGKILL)
    assert daemon.command("--stop").returncode == 0
    daemon.start()
    assert len(frames(endpoint, 20)) == 20
    with pytest.raises(DaemonGoneError, match="does not know end-point 0"):
        endpoint.reader.read(timeout=10)
    with engine.endpoint(snaplen=96) as again:
        engine.group(GROUP).join(again)


CLIENT = """
import time, pfq
engine = pfq.connect({path!r})
engine.group(3).join(engine.endpoint(slots=8))
print(1, flush=True)
time.sleep(60)
"""


def test_a_client_that_dies_without_a_daemon_leaves_nothing(
    netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine
) -> None:
    with netns_pair.b.python(CLIENT.format(path=str(daemon.path))) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "1\n"
        assert engine.listed()["endpoints"]
        daemon.end(signal.SIGKILL)
        client.kill()
        client.wait(10)
    daemon.start()
    assert eventually(lambda: not engine.listed()["endpoints"], 10.0)
    assert eventually(lambda: not engine.listed()["groups"], 5.0)


def test_capture_of_a_group_goes_on(
    netns_pair: Pair, daemon: Pfqd, engine: RemoteEngine, endpoint: RemoteEndpoint, tmp_path: Path
) -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; from pfq.cli import main; main()"
    file = tmp_path / "mine.pcapng"
    words = ["capture", "--group", str(GROUP), "--socket", str(daemon.path), "-s", "96", "-w", str(file), "-c", "40"]
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"listening on {netns_pair.dev_b}" in process.stderr.readline()
        process.stderr.readline()
        send(netns_pair, 0, 20)
        daemon.end(signal.SIGKILL)
        send(netns_pair, 20, 10)
        daemon.start()
        send(netns_pair, 30, 10)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert said.startswith("40 packets captured\n40 packets received by filter\n0 packets dropped by kernel\n")
    written = sorted(batch.bytes(i) for batch in pfq.read(file) for i in range(len(batch)))
    assert written == [numbered(i) for i in range(40)]
    assert frames(endpoint, 40) == [numbered(i) for i in range(40)]
