"""D6: events of devices, one by one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest
from root.network import Pair, namespace

from pfq.kernel.watch import Change, Event, Watch

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


class Collected:
    """Events as a thread receives them."""

    def __init__(self, watch: Watch) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.thread = threading.Thread(target=self._run, args=(watch,))
        self.thread.start()

    def _run(self, watch: Watch) -> None:
        for event in watch.events():
            self.events.put(event)

    def next(self) -> tuple[Change, str, str]:
        event = self.events.get(timeout=2)
        return event.change, event.before.name, event.device.name


@pytest.fixture
def seen(netns_pair: Pair) -> Iterator[Collected]:
    with netns_pair.b.call(Watch) as watch:
        collected = Collected(watch)
        yield collected
        watch.stop()
        collected.thread.join(timeout=2)
        assert not collected.thread.is_alive()
        assert collected.events.empty(), "nothing but what the test expected"


def link(pair: Pair, *words: str) -> None:
    pair.b.run("ip", "link", *words)


def test_D6_up_and_down(netns_pair: Pair, seen: Collected) -> None:
    name = netns_pair.dev_b
    link(netns_pair, "set", name, "down")
    assert seen.next() == (Change.DOWN, name, name)
    link(netns_pair, "set", name, "up")
    assert seen.next() == (Change.UP, name, name)


def test_D6_the_other_end_goes_down(netns_pair: Pair, seen: Collected) -> None:
    netns_pair.a.run("ip", "link", "set", netns_pair.dev_a, "down")
    assert seen.next() == (Change.DOWN, netns_pair.dev_b, netns_pair.dev_b)


def test_D6_renamed_mtu_promiscuous(netns_pair: Pair, seen: Collected) -> None:
    name = netns_pair.dev_b
    link(netns_pair, "set", name, "mtu", "1280")
    assert seen.next() == (Change.MTU, name, name)
    link(netns_pair, "set", name, "promisc", "on")
    assert seen.next() == (Change.PROMISCUOUS, name, name)
    link(netns_pair, "set", name, "promisc", "off")
    assert seen.next() == (Change.PROMISCUOUS, name, name)
    link(netns_pair, "set", name, "down")
    assert seen.next() == (Change.DOWN, name, name)
    link(netns_pair, "set", name, "name", "other")
    assert seen.next() == (Change.RENAMED, name, "other")


def test_D6_moved_to_another_namespace(netns_pair: Pair, seen: Collected) -> None:
    name = netns_pair.dev_b
    with namespace("c") as other:
        link(netns_pair, "set", name, "netns", other.name)
        assert seen.next()[0] is Change.DOWN
        assert seen.next() == (Change.MOVED, name, name)


def test_D2_deleted(netns_pair: Pair, seen: Collected) -> None:
    link(netns_pair, "del", netns_pair.dev_b)
    changes = [seen.next(), seen.next()]
    assert changes == [(Change.DOWN, "pfqt-b", "pfqt-b"), (Change.GONE, "pfqt-b", "pfqt-b")]


def test_D3_recreated_with_the_same_name_has_another_number(netns_pair: Pair, seen: Collected) -> None:
    link(netns_pair, "add", "again", "type", "bridge")
    first = seen.events.get(timeout=2)
    link(netns_pair, "del", "again")
    assert seen.next() == (Change.GONE, "again", "again")
    link(netns_pair, "add", "again", "type", "bridge")
    second = seen.events.get(timeout=2)
    assert (first.change, second.change) == (Change.NEW, Change.NEW)
    assert first.device.index != second.device.index


def test_a_bridge_telling_about_its_ports_is_no_event(netns_pair: Pair, seen: Collected) -> None:
    link(netns_pair, "add", "bridge0", "type", "bridge")
    assert seen.next() == (Change.NEW, "bridge0", "bridge0")
    link(netns_pair, "set", netns_pair.dev_b, "master", "bridge0")
    assert seen.next() == (Change.PROMISCUOUS, "pfqt-b", "pfqt-b")
    link(netns_pair, "set", netns_pair.dev_b, "nomaster")
    assert seen.next() == (Change.PROMISCUOUS, "pfqt-b", "pfqt-b")
    link(netns_pair, "del", "bridge0")
    assert seen.next() == (Change.GONE, "bridge0", "bridge0")


def test_lost_events_are_made_up_for(netns_pair: Pair) -> None:
    """Nobody reads while more events come than the socket holds: the differences are found by asking."""
    import socket

    with netns_pair.b.call(Watch) as watch:
        watch._news.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        link(netns_pair, "add", "extra", "type", "bridge")
        for mtu in range(1300, 1320):
            link(netns_pair, "set", netns_pair.dev_b, "mtu", str(mtu))
        link(netns_pair, "set", "extra", "name", "late")
        collected = Collected(watch)
        changes = {collected.next() for _ in range(2)}
        watch.stop()
        collected.thread.join()
        known = {device.name: device.mtu for device in watch._known.values()}
    assert changes == {(Change.MTU, "pfqt-b", "pfqt-b"), (Change.NEW, "late", "late")}
    assert known == {"lo": 65536, "pfqt-b": 1319, "late": 1500}
