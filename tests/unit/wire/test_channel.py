"""Connections: messages, descriptors, time limits, and ends."""

from __future__ import annotations

import array
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfq.errors import DaemonMissingError, LimitError, UsageError
from pfq.wire.channel import MAX_DESCRIPTORS, Channel, connect
from pfq.wire.messages import MESSAGE_BYTES

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(left) as one, Channel(right) as other:
        yield one, other


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_keep_their_bounds_and_order(pair: Pair) -> None:
    one, other = pair
    for number in range(10):
        one.send({"id": number, "text": "é" * number})
    got = [other.receive() for _ in range(10)]
    assert got == [({"id": number, "text": "é" * number}, []) for number in range(10)]
    assert one.sent == other.received > 0


def test_descriptors_are_the_same_files(pair: Pair, tmp_path: Path) -> None:
    one, other = pair
    with (tmp_path / "a").open("w") as first, (tmp_path / "b").open("w") as last:
        one.send({"id": 1}, [first.fileno(), last.fileno()])
        received = other.receive()
        assert received is not None
        message, descriptors = received
        assert message == {"id": 1}
        try:
            assert [os.readlink(f"/proc/self/fd/{each}") for each in descriptors] == [first.name, last.name]
            assert not any(map(os.get_inheritable, descriptors))
        finally:
            for each in descriptors:
                os.close(each)


def test_many_descriptors_at_once(pair: Pair) -> None:
    one, other = pair
    before = open_files()
    one.send({}, [0] * MAX_DESCRIPTORS)
    received = other.receive()
    assert received is not None
    assert len(received[1]) == MAX_DESCRIPTORS == open_files() - before
    for each in received[1]:
        os.close(each)


@pytest.mark.parametrize("count", [1, 2, MAX_DESCRIPTORS])
def test_U3_descriptors_that_nobody_wants_are_closed(count: int) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(left) as one, Channel(right, descriptors=0) as other:
        before = open_files()
        for _ in range(20):
            one.send({"id": 1}, [left.fileno()] * count)
            with pytest.raises(UsageError, match=f"{count} descriptors came, but at most 0"):
                other.receive()
        assert open_files() == before


def test_descriptors_with_what_is_no_message_are_closed(pair: Pair) -> None:
    one, other = pair
    before = open_files()
    for data in (b"", b"{", b"x" * (MESSAGE_BYTES + 1)):
        one.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))])
        with pytest.raises(UsageError):
            other.receive()
        assert open_files() == before


def test_U4_without_room_for_descriptors_no_message_comes(pair: Pair) -> None:
    """Linux gives the message without them, and says so; it must not be taken for one that never had any."""
    one, other = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_files()
    one.send({"id": 1}, [0, 1, 2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(LimitError, match="got lost"):
            other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_files() == before


def test_the_end(pair: Pair) -> None:
    one, other = pair
    one.send({"last": True})
    one.close()
    one.close()
    assert other.receive() == ({"last": True}, [])
    assert other.receive() is None
    with pytest.raises(BrokenPipeError):
        other.send({})


def test_an_empty_packet_is_not_the_end(pair: Pair) -> None:
    one, other = pair
    one.socket.send(b"")
    with pytest.raises(UsageError, match="it is empty"):
        other.receive()
    one.send({"id": 1})
    assert other.receive() == ({"id": 1}, [])


def test_time_limits(pair: Pair) -> None:
    one, other = pair
    with pytest.raises(TimeoutError):
        other.receive(0)
    with pytest.raises(TimeoutError):
        other.receive(0.02)

    def flood() -> None:
        for _ in range(10_000):
            one.send({"text": "x" * 1000}, timeout=0.02)

    with pytest.raises(TimeoutError):
        flood()
    assert other.receive(0) is not None
    one.send({"there": "is room again"}, timeout=1)


def test_who_waits_is_woken_by_a_message_and_by_the_end(pair: Pair) -> None:
    one, other = pair
    got: list[object] = []

    def wait() -> None:
        while (found := other.receive()) is not None:
            got.append(found)

    thread = threading.Thread(target=wait)
    thread.start()
    one.send({"id": 1})
    one.send({"id": 2})
    one.hang_up()
    thread.join(5)
    assert not thread.is_alive()
    assert got == [({"id": 1}, []), ({"id": 2}, [])]


def test_what_was_said_before_hanging_up_on_us_is_heard() -> None:
    """Linux tells of the reset first, when the other side has not read what we sent."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Channel(left) as one:
        one.send({"call": "hello"})
        with Channel(right) as other:
            other.send({"error": "go away"})
        assert one.receive() == ({"error": "go away"}, [])
        assert one.receive() is None


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    with pytest.raises(DaemonMissingError, match="does not exist") as caught:
        connect(tmp_path / "none.sock")
    assert caught.value.hint is not None
    assert "PFQ_SOCKET" in caught.value.hint
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
        bound.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(DaemonMissingError, match="nobody listens"):
        connect(tmp_path / "dead.sock")
    (tmp_path / "file").write_text("")
    with pytest.raises(DaemonMissingError):
        connect(tmp_path / "file")
    with pytest.raises(DaemonMissingError, match="cannot connect"):
        connect(tmp_path / ("x" * 200))
