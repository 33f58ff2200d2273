"""Statements 84 and 85 on handles that are closed and on who may open; 101 and 102 on the configuration of pfqd."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from root.capture.harness import packets
from root.daemon.harness import Client, as_nobody
from root.daemon.process import Pfqd, group, pfqd_of
from root.network import Pair, Sender, eventually
from support.statements import tcp_frame

import pfq
from pfq.engine.endpoint import Endpoint
from pfq.errors import NotPermittedError, PfqError, VersionError

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FLOWS = [tcp_frame(f"10.0.{n}.1", ports=(1024 + n, 80)) for n in range(64)]

MEMBER = """
import sys
import pfq
with pfq.connect(sys.argv[1]) as engine:
    endpoint = engine.endpoint(slots=512)
    engine.group(3).join(endpoint)
    print("joined", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        yield made


def test_s101_an_edited_configuration_is_applied_and_a_broken_one_is_not(netns_pair: Pair, daemon: Pfqd) -> None:
    """The original needs a second and the time of a compiler to notice; nothing is compiled by hand here."""
    daemon.configure(group(3, "inc 1", (netns_pair.dev_b,)))
    daemon.start()
    with netns_pair.sender() as sender:

        def counted() -> list[int]:
            before = daemon.ask("group.statistics", group=3)["arrived"]
            sender.send(FLOWS[:10])
            assert eventually(lambda: daemon.ask("group.statistics", group=3)["arrived"] == before + 10, 5.0)
            found: list[int] = daemon.ask("group.statistics", group=3)["counters"]
            return found[:3]

        assert counted() == [0, 10, 0]
        started = time.monotonic()
        daemon.reload(group(3, "inc 2", (netns_pair.dev_b,)))
        took = time.monotonic() - started
        assert counted() == [0, 10, 10]
        daemon.reload(group(3, "inc 2 >->", (netns_pair.dev_b,)))
        assert counted() == [0, 10, 20], "the one before goes on"
        assert daemon.logged(r"the configuration was not applied, and the old one goes on: .*line 8")
        daemon.reload(group(3, "inc 0", (netns_pair.dev_b,)))
        assert counted() == [10, 10, 20]
    assert took < 20, "noticed by itself, not at some later look"


def member(daemon: Pfqd, undo: ExitStack) -> Endpoint:
    """A client with an end-point in group 3."""
    engine = undo.enter_context(pfq.connect(daemon.path))
    endpoint = engine.endpoint(slots=512)
    engine.group(3).join(endpoint)
    return endpoint


@contextmanager
def another_process(daemon: Pfqd) -> Iterator[subprocess.Popen[str]]:
    """A member that reads nothing; killed at the end."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{MEMBER}", str(daemon.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "joined\n"
            yield process
        finally:
            process.kill()


def flows_of(sender: Sender, endpoints: list[Endpoint]) -> list[set[int]]:
    """Sends each flow some times; which of them come to each end-point."""
    sender.send(FLOWS * 4)
    found = []
    for endpoint in endpoints:
        reader = endpoint.reader
        found.append(packets(iter(lambda reader=reader: reader.read(timeout=0.3), None)))
    ports = [[int.from_bytes(packet.data[34:36], "big") for packet in each] for each in found]
    for each in ports:
        assert all(each.count(port) == 4 for port in each), "a flow is in one place, as a whole"
    return [set(each) for each in ports]


def test_s102_clients_share_a_group_and_it_is_balanced_anew_when_they_come_and_go(
    netns_pair: Pair, daemon: Pfqd
) -> None:
    daemon.configure(group(3, "steer_flow", (netns_pair.dev_b,)))
    daemon.start()
    with ExitStack() as undo:
        sender = undo.enter_context(netns_pair.sender())
        here = [member(daemon, undo) for _ in range(2)]
        before = flows_of(sender, here)
        assert all(before)
        assert len(before[0] | before[1]) == len(before[0]) + len(before[1]) == len(FLOWS)
        with another_process(daemon):
            during = flows_of(sender, here)
            theirs = max(daemon.ask("list")["endpoints"], key=lambda each: each["endpoint"])
            assert [now < old for now, old in zip(during, before, strict=True)] == [True, True]
            moved = len(FLOWS) - sum(map(len, during))
            assert theirs["statistics"]["selected"] == 4 * moved > 0
        assert eventually(lambda: len(daemon.ask("list")["endpoints"]) == 2, 5.0)
        assert flows_of(sender, here) == before, "the flows of the one that was killed are back"


def test_s102_a_restricted_group_refuses_clients(netns_pair: Pair, daemon: Pfqd) -> None:
    daemon.configure(group(3, "steer_flow", (netns_pair.dev_b,), policy="'restricted'"))
    daemon.start()
    client = daemon.client()
    endpoint = client.call("endpoint.open")["endpoint"]
    for policy in ("restricted", "shared"):
        error = client.refused("group.join", endpoint=endpoint, group=3, policy=policy)
        assert isinstance(error, NotPermittedError)
    assert client.call("list")["groups"][0]["members"] == []


def test_84_what_is_done_with_a_closed_handle_raises(netns_pair: Pair, daemon: Pfqd) -> None:
    """Handles of C++, which may be moved and swapped as well, are for its own binding."""
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    engine = pfq.connect(daemon.path)
    endpoint = engine.endpoint(slots=512)
    engine.group(3).join(endpoint)
    reader = endpoint.reader
    endpoint.close()
    endpoint.close()
    for use in (reader.read, endpoint.enable, lambda: engine.group(3).join(endpoint)):
        with pytest.raises(PfqError, match=r"closed|there is no end-point"):
            use()
    engine.close()
    engine.close()
    for use in (engine.endpoint, lambda: engine.group(3)):
        with pytest.raises(PfqError, match="closed"):
            use()


def test_85_opening_needs_the_rights_and_the_same_version(netns_pair: Pair, daemon: Pfqd) -> None:
    """An engine of one's own needs capabilities; pfqd's needs rights that its configuration gives, and none of them."""
    daemon.configure(group(3, "unit", (netns_pair.dev_b,)))
    daemon.start()
    with as_nobody(
        "try:\n    pfq.Engine()\nexcept pfq.PfqError as error:\n    print(error.code)\n"
        "try:\n    pfq.connect(sys.argv[1])\nexcept pfq.PfqError as error:\n    print(error.code)\n",
        str(daemon.path),
        imports="import sys, pfq, pfq.client, pfq.engine.engine",
    ) as process:
        said, _ = process.communicate(timeout=30)
    assert said.split() == ["PFQ302", "PFQ306"], "it may not even reach the socket"
    with pytest.raises(VersionError, match="version"):
        Client(daemon.path, version=2)
