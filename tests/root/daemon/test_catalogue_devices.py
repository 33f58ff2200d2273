"""Rows D1 to D6 of the catalogue of reliability: devices change under a daemon whose clients wait in `read`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from root.daemon.process import Pfqd, group, pfqd_of
from root.daemon.readers import Reading
from root.network import Pair, eventually, is_running, numbered, traffic, veth_pair

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 10.0


@pytest.fixture
def daemon(netns_pair: Pair) -> Iterator[Pfqd]:
    with pfqd_of(netns_pair) as made:
        made.configure(group(3, "unit", (netns_pair.dev_b,)))
        made.start()
        yield made


def arrived(daemon: Pfqd) -> int:
    found: int = daemon.ask("group.statistics", group=3)["arrived"]
    return found


def send(pair: Pair, first: int, count: int) -> None:
    with pair.sender() as sender:
        sender.send(map(numbered, range(first, first + count)))


def test_D1_down_and_up_while_clients_read(netns_pair: Pair, daemon: Pfqd) -> None:
    """Nobody does anything, and packets go on as soon as the device is up; each one counted is delivered."""
    pair, times = netns_pair, 5
    with Reading(daemon.path, 3, 1 << 30) as reader:
        before = daemon.links()
        for turn in range(times):
            pair.b.run("ip", "link", "set", pair.dev_b, "down")
            pair.b.run("ip", "link", "set", pair.dev_b, "up")
            assert eventually(lambda: is_running(pair.a, pair.dev_a) and is_running(pair.b, pair.dev_b), PATIENCE_S)
            send(pair, 100 * turn, 100)
            wanted = 100 * (turn + 1)
            assert eventually(lambda wanted=wanted: arrived(daemon) == wanted, PATIENCE_S)  # type: ignore[misc]
        (endpoint,) = daemon.ask("list")["endpoints"]
        assert (endpoint["statistics"]["delivered"], endpoint["statistics"]["lost"]) == (100 * times, 0)
        assert daemon.links() == before
        assert reader.process.poll() is None


@pytest.mark.parametrize("end", ["a", "b"])
def test_D2_a_device_that_is_deleted_wakes_all_clients(netns_pair: Pair, daemon: Pfqd, end: str) -> None:
    inside, name = (netns_pair.a, netns_pair.dev_a) if end == "a" else (netns_pair.b, netns_pair.dev_b)
    readers = [Reading(daemon.path, 3, 1 << 30, slots=64) for _ in range(3)]
    with readers[0], readers[1], readers[2]:
        send(netns_pair, 0, 10)
        assert all(reader.is_asleep() for reader in readers)
        gone = time.time()
        inside.run("ip", "link", "del", name)
        for reader in readers:
            told = reader.told()
            kind, message, when = told["ended"]
            assert told["count"] == 10
            assert kind == "DeviceGoneError"
            assert netns_pair.dev_b in message
            assert when - gone < PATIENCE_S
    assert daemon.ask("list")["groups"][0]["bindings"] == []
    assert daemon.process is not None
    assert daemon.process.poll() is None


def test_D3_recreated_with_the_same_name(netns_pair: Pair, daemon: Pfqd) -> None:
    """A group of the configuration is bound to the new one; its other number is used, never the old one's."""
    pair = netns_pair
    old = pair.ifindex_b
    pair.b.run("ip", "link", "del", pair.dev_b)
    assert eventually(lambda: not daemon.ask("list")["groups"][0]["bindings"], PATIENCE_S)
    made = ("ip", "link", "add", pair.dev_b, "index", str(old + 40), "type", "veth", "peer", "name", "pfqt-c")
    pair.b.run(*made)
    pair.b.run("ip", "link", "set", "pfqt-c", "netns", pair.a.name)
    for inside, name in ((pair.a, "pfqt-c"), (pair.b, pair.dev_b)):
        inside.run("ip", "link", "set", name, "up")
    assert eventually(lambda: daemon.ask("list")["groups"][0]["bindings"], PATIENCE_S)
    with Reading(daemon.path, 3, 50, slots=64) as reader:
        assert eventually(lambda: is_running(pair.b, pair.dev_b), PATIENCE_S)
        send(Pair(pair.a, pair.b, "pfqt-c", pair.dev_b, 0, old + 40), 0, 50)
        assert reader.told()["count"] == 50
    assert len(daemon.links()) == 1


def test_D4_the_other_namespace_is_deleted(daemon: Pfqd) -> None:
    """Its device goes, and with it the binding; the daemon and its other groups stay."""
    with veth_pair() as other:
        other.b.run("ip", "link", "set", other.dev_b, "netns", daemon.inside.name, "name", "pfqt-x")
        daemon.inside.run("ip", "link", "set", "pfqt-x", "up")
        client = daemon.client()
        number = client.call("endpoint.open", slots=16)["endpoint"]
        client.call("group.join", endpoint=number, group=9)
        client.call("group.bind", group=9, device="pfqt-x", hook="xdp")
        assert daemon.program("pfqt-x")
    assert eventually(lambda: not daemon.ask("list")["groups"][1]["bindings"], PATIENCE_S)
    event = client.receive(PATIENCE_S)
    assert (event["event"], event["endpoint"]) == ("failed", number)
    assert len(daemon.ask("list")["groups"][0]["bindings"]) == 1
    client.close()


def test_D6_renamed_and_another_mtu_while_clients_read(netns_pair: Pair, daemon: Pfqd) -> None:
    pair = netns_pair
    with Reading(daemon.path, 3, 3000) as reader:
        before = daemon.links()
        with traffic(pair, 3000, limit=3000) as sender:
            for command in (("mtu", "1400"), ("mtu", "1500"), ("promisc", "on"), ("promisc", "off")):
                pair.b.run("ip", "link", "set", pair.dev_b, *command)
            pair.b.run("ip", "link", "set", pair.dev_b, "name", "pfqt-new")
            assert eventually(lambda: sender.sent == 3000, PATIENCE_S)
            assert eventually(lambda: arrived(daemon) == 3000, PATIENCE_S)
        assert reader.told()["different"] == 3000
        (binding,) = daemon.ask("list")["groups"][0]["bindings"]
        assert binding["device"] == "pfqt-new"
        assert daemon.links() == before
    assert daemon.logged(f"{pair.dev_b} was renamed")


def test_D6_moved_to_another_namespace_wakes_clients(netns_pair: Pair, daemon: Pfqd) -> None:
    with Reading(daemon.path, 3, 1 << 30, slots=64) as reader:
        assert reader.is_asleep()
        netns_pair.b.run("ip", "link", "set", netns_pair.dev_b, "netns", netns_pair.a.name)
        assert reader.told()["ended"][0] == "DeviceGoneError"
    assert eventually(lambda: not daemon.links(), PATIENCE_S)
