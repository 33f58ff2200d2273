"""The C library reads: with epoll, with threads, and to the end of what there is to read."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from root.client_c.conftest import PLENTY, Place
from root.daemon.harness import running
from root.network import Pair, eventually, numbered
from support.c_client import ANY, DEFAULT, SHARED, THREADS, CClient

pytestmark = [pytest.mark.root, pytest.mark.slow]


def joined(c: CClient, pair: Pair, handle: int = 0) -> int:
    """A handle that gets what arrives at `dev_b`; the number of its group."""
    c.open(SHARED, handle)
    c.must("bind", handle, pair.dev_b, ANY)
    c.must("enable", handle)
    return c.must("group_id", handle).code


def send(pair: Pair, count: int) -> None:
    with pair.sender() as sender:
        sender.send(numbered(n) for n in range(count))


def test_the_descriptor_is_readable_while_there_may_be_packets(c: CClient, place: Place) -> None:
    joined(c, place.pair)
    assert c("readable", 0, 0).code == 1, "at the beginning nobody knows"
    assert c("drain", 0).code == 0
    c("readable", 0, 1000)  # the first sleep is short
    assert c("drain", 0).code == 0
    assert c("readable", 0, 100).code == 0
    send(place.pair, 10)
    assert c("readable", 0, 1000).code == 1
    c.must("keep", 0, 0, 3)
    assert c("readable", 0, 0).code == 1, "some were not read"
    assert c("readable", 0, 100).code == 1
    c.must("release", 0, 0)
    assert c("drain", 0).code == 7
    c("readable", 0, 1000)
    assert c("drain", 0).code == 0
    assert c("readable", 0, 100).code == 0
    assert c("poll", 0, 1000).code == 0
    send(place.pair, 1)
    assert c("readable", 0, 1000).code == 1, "after pfq_poll, too"
    assert c("drain", 0).code == 1
    c.must("disable", 0)
    c.must("enable", 0)
    assert c("readable", 0, 0).code == 1
    assert c("drain", 0).code == 0


def test_no_burst_is_slept_through(c: CClient, place: Place) -> None:
    """Many small bursts, each when the reader has just gone to sleep: that is where wake-ups get lost.

    Now and then it has slept for longer than its first, short sleep, and only the doorbell wakes it.
    """
    bursts, size = 1500, 2
    joined(c, place.pair)
    c.ask("listen", 0, bursts * size)
    with place.pair.sender() as sender:
        for n in range(bursts):
            sender.send([numbered(n)] * size)
            time.sleep(0.03 if n % 25 == 0 else (n % 7) * 0.0001)
    assert c.answer().code == bursts * size
    assert c.must("stats", 0).numbers == [bursts * size, 0, bursts * size, bursts * size]


def test_poll_waits_until_a_packet_or_the_end_of_time(c: CClient, place: Place) -> None:
    joined(c, place.pair)
    assert c("poll", 0, 20_000).code == 0
    c.ask("poll", 0, -1)
    time.sleep(0.1)
    send(place.pair, 1)
    assert c.answer().code == 1
    assert c.must("dispatch", 0, 0).text == "0"
    assert c("dispatch", 0, 20_000).code == 0
    c.ask("dispatch", 0, -1)
    send(place.pair, 2)
    assert c.answer().code in (1, 2)


def test_two_threads_use_one_handle(c_programs: Callable[..., CClient], place: Place) -> None:
    """One reads while the other asks for statistics and changes the weight; ThreadSanitizer looks on."""
    probe = subprocess.run(["cc", *THREADS, "-xc", "-", "-o/dev/null"], input="int main(void){return 0;}", text=True)
    if probe.returncode:
        pytest.skip("the compiler has no ThreadSanitizer")
    c = c_programs(flags=tuple(THREADS))
    joined(c, place.pair)
    c.ask("read_and_ask", 0, 2000, 60)
    for _ in range(20):
        send(place.pair, 100)
        time.sleep(0.01)
    said = c.answer()
    assert said.code == 2000
    assert said.text.endswith("\t0")


def test_two_programs_share_a_group(c_programs: Callable[..., CClient], place: Place) -> None:
    first, second = c_programs(), c_programs()
    group = joined(first, place.pair)
    second.open("nogroup")
    assert second.must("join_group", 0, group, DEFAULT, SHARED).code == group
    second.must("enable", 0)
    first.must("set_group_program", 0, group, "steer_rrobin")
    send(place.pair, 100)
    assert eventually(lambda: first.must("get_group_stats", 0, group).numbers[0] == 100, 5.0)
    got = [set(program.must("drain", 0).numbers) for program in (first, second)]
    assert not got[0] & got[1]
    assert got[0] | got[1] == set(range(100))
    assert all(got)
    second.kill()
    assert eventually(lambda: len(place.daemon.engine.groups[group].members) == 1, 5.0), "a killed one leaves at once"
    send(place.pair, 50)
    assert eventually(lambda: first.must("stats", 0).numbers[0] == len(got[0]) + 50, 5.0)


def test_when_the_device_goes(c: CClient, place: Place) -> None:
    pair = place.pair
    pair.b.run("ip", "link", "add", "pfqt-gone", "type", "veth", "peer", "name", "pfqt-end")
    for device in ("pfqt-gone", "pfqt-end"):
        pair.b.run("ip", "link", "set", device, "up")
    c.open(SHARED)
    c.must("bind", 0, "pfqt-gone", ANY)
    c.must("enable", 0)
    c.must("drain", 0)
    pair.b.run("ip", "link", "del", "pfqt-gone")
    said = c("poll", 0, 10_000_000)
    if said.code == 1:  # what the kernel sent on its own
        assert c("drain", 0).code == -errno.ENODEV
        said = c("poll", 0, 10_000_000)
    assert said.code == -errno.ENODEV
    assert "pfqt-gone" in said.text
    assert c("drain", 0).code == -errno.ENODEV
    joined(c, pair, handle=1)
    assert c.must("join_group", 0, c.must("group_id", 1).code, DEFAULT, SHARED).code >= 0
    assert (c("drain", 0).code, c("poll", 0, 1000).code) == (0, 0), "with another group it goes on"
    pair.b.run("ip", "link", "add", "pfqt-gone", "type", "veth", "peer", "name", "pfqt-end")
    c.must("leave_group", 0, c.must("group_id", 1).code)
    c.must("bind", 0, "pfqt-gone", ANY)
    pair.b.run("ip", "link", "del", "pfqt-gone")
    assert c("poll", 0, 10_000_000).code == -errno.ENODEV
    c.must("bind", 0, pair.dev_b, ANY)
    send(pair, 3)
    assert c.must("poll", 0, 5_000_000).code == 1
    assert eventually(lambda: c("stats", 0).numbers[0] == 3, 5.0)
    assert (c("drain", 0).code, c("poll", 0, 1000).code) == (3, 0), "and with another device"


def test_the_end_is_readable(c: CClient, place: Place) -> None:
    """Who sleeps on the descriptor learns that there is nothing more to come."""
    pair = place.pair
    pair.b.run("ip", "link", "add", "pfqt-gone", "type", "veth", "peer", "name", "pfqt-end")
    c.open(SHARED)
    c.must("bind", 0, "pfqt-gone", ANY)
    c.must("enable", 0)
    c.ask("listen", 0, 1 << 30)
    time.sleep(0.2)
    pair.b.run("ip", "link", "del", "pfqt-gone")
    assert c.answer().code == -errno.ENODEV


def test_the_end_is_readable_whoever_heard_of_it(c: CClient, place: Place) -> None:
    """Another call may read the event from the connection; the descriptor tells of it all the same."""
    pair = place.pair
    pair.b.run("ip", "link", "add", "pfqt-gone", "type", "veth", "peer", "name", "pfqt-end")
    c.open(SHARED)
    c.must("bind", 0, "pfqt-gone", ANY)
    c.must("enable", 0)
    c.must("readable", 0, 0)
    c.must("drain", 0)
    c.must("readable", 0, 1000)
    c.must("drain", 0)
    pair.b.run("ip", "link", "del", "pfqt-gone")
    assert eventually(lambda: not place.daemon.engine.sides, 5.0)
    time.sleep(0.1)
    c.must("set_weight", 0, 2)
    assert c("readable", 0, 1000).code == 1
    assert c("drain", 0).code == -errno.ENODEV


def test_a_daemon_that_is_stopped(netns_pair: Pair) -> None:
    with running(netns_pair, limits=PLENTY) as daemon, CClient(daemon.path) as c:
        joined(c, netns_pair)
        send(netns_pair, 4)
        assert eventually(lambda: c.must("stats", 0).numbers[0] == 4, 5.0)
        daemon.service.stop(goodbye=True)
        daemon.thread.join(10)
        assert c.must("dispatch", 0, 0).code > 0, "what is in the rings comes first"
        c("drain", 0)
        assert c("drain", 0).code == -errno.ESHUTDOWN
        assert c("poll", 0, -1).code == -errno.ESHUTDOWN
        assert c("set_weight", 0, 2).code == -errno.ESHUTDOWN


def test_a_signal_ends_waiting(c: CClient, place: Place) -> None:
    joined(c, place.pair)
    c.ask("poll", 0, 10_000_000)
    time.sleep(0.2)
    os.kill(c.process.pid, signal.SIGSTOP)  # a stop and a continue interrupt nothing
    os.kill(c.process.pid, signal.SIGCONT)
    send(place.pair, 1)
    assert c.answer().code in (1, -errno.EINTR)
