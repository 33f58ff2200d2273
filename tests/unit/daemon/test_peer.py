"""Who is at the other end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pfq.daemon import peer
from pfq.daemon.peer import Peer, has_ended, same_process, start_of, user_name


@pytest.fixture
def connected() -> Iterator[socket.socket]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left


def test_this_process(connected: socket.socket) -> None:
    found = Peer.of(connected)
    try:
        assert (found.pid, found.uid) == (os.getpid(), os.getuid())
        assert found.gids == {os.getgid(), *os.getgroups()}
        assert found.start == start_of(os.getpid()) > 0
        assert not found.has_ended()
        assert not os.get_inheritable(found.pidfd)
    finally:
        os.close(found.pidfd)


def test_kernels_without_the_peers_descriptor(connected: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_SO_PEERPIDFD", 9999)
    found = Peer.of(connected)
    os.close(found.pidfd)
    assert found.pid == os.getpid()


def test_more_groups_than_an_option_has_room_for(connected: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_OPTION_BYTES", 1)
    found = Peer.of(connected)
    os.close(found.pidfd)
    assert found.gids == {os.getgid(), *os.getgroups()}


def test_a_process_and_another_with_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        start = start_of(process.pid)
        pidfd = same_process(process.pid, start)
        assert pidfd is not None
        assert same_process(process.pid, start - 1) is None
        assert not has_ended(pidfd)
        process.kill()
    try:
        assert has_ended(pidfd)
    finally:
        os.close(pidfd)
    assert same_process(process.pid, start) is None
    assert start_of(process.pid) == 0


def test_a_name_with_brackets_and_blanks() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') 1 2 (x'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert start_of(process.pid) >= start_of(os.getpid())
        process.kill()


def test_names_of_users() -> None:
    assert user_name(0) == "root"
    assert user_name(123_456_789) == "123456789"
