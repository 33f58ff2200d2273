"""What systemd is told, and what is taken from it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfq.daemon.notify import Notifier, passed_listener


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def test_what_it_is_told(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000", "PATH": "x"}
    notifier = Notifier(environment)
    assert environment == {"PATH": "x"}, "nothing that we start may speak for us"
    assert notifier.watchdog_s == 3.0
    notifier.ready("groups: 3")
    notifier.reloading()
    notifier.alive()
    notifier.stopping()
    found = [manager.recv(1000).decode() for _ in range(4)]
    assert found[0] == "READY=1\nSTATUS=groups: 3"
    assert found[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert found[2:] == ["WATCHDOG=1", "STOPPING=1"]
    notifier.close()


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0pfqt-{os.getpid()}")
        notifier = Notifier({"NOTIFY_SOCKET": f"@pfqt-{os.getpid()}"})
        notifier.status("x")
        notifier.close()
        manager.settimeout(5)
        assert manager.recv(100) == b"STATUS=x"


def test_nobody_to_tell() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": "/nowhere/there"}, {"NOTIFY_SOCKET": "vsock:1:2"}):
        notifier = Notifier(environment)
        notifier.ready("x")
        notifier.close()
        notifier.alive()


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}])
def test_no_watchdog(environment: dict[str, str]) -> None:
    assert Notifier(environment).watchdog_s is None


PASSED = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.{kind})
listener.bind({path!r})
if {listening}:
    listener.listen()
os.dup2(listener.fileno(), 3)
os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "{count}"}}
sys.path[:0] = {path_list!r}
from pfq.daemon.notify import passed_listener
from pfq.errors import UsageError
try:
    found = passed_listener(os.environ)
    print(found.fileno(), os.get_inheritable(3), "LISTEN_FDS" in os.environ)
except UsageError as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("kind", "listening", "count", "said"),
    [
        ("SOCK_SEQPACKET", True, 1, "3 False False"),
        ("SOCK_STREAM", True, 1, "systemd passes something else than one socket for pfqd"),
        ("SOCK_SEQPACKET", False, 1, "systemd passes something else than one socket for pfqd"),
        ("SOCK_SEQPACKET", True, 2, "systemd passes something else than one socket for pfqd"),
    ],
)
def test_a_socket_that_is_passed(tmp_path: Path, kind: str, listening: bool, count: int, said: str) -> None:
    code = PASSED.format(kind=kind, listening=listening, count=count, path=str(tmp_path / "s"), path_list=sys.path)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == said


def test_nothing_is_passed() -> None:
    assert passed_listener({}) is None
    assert passed_listener({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None
    assert passed_listener({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}) is None
