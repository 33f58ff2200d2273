"""The socket for clients, and the lock that lets one pfqd run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pfq.daemon.listening import Listener, Running
from pfq.errors import UsageError

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def test_a_socket_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run/pfqd.sock"
    made = Listener(path, os.geteuid(), None)
    assert (mode(path), mode(path.parent)) == (0o600, 0o750)
    assert connects(path)
    assert os.listdir(path.parent) == ["pfqd.sock"]
    made.close()
    assert os.listdir(path.parent) == []


@ROOT_ONLY
@pytest.mark.parametrize("locked", [False, True])
def test_a_group_may_connect(tmp_path: Path, locked: bool) -> None:
    path = tmp_path / "run/pfqd.sock"
    if locked:
        Running(path.parent).close()
    made = Listener(path, 0, 12345)
    assert (mode(path), path.stat().st_gid) == (0o660, 12345)
    assert (mode(path.parent), path.parent.stat().st_gid) == (0o750, 12345)
    made.close()


def test_U1_the_socket_is_never_open_to_the_world(tmp_path: Path) -> None:
    """Looked at all the time while it is made and closed; no name in its folder ever has a bit for others."""
    folder = tmp_path / "run"
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for entry in (folder, *folder.glob("*"), *folder.glob(".*")):
                try:
                    seen.add(mode(entry) & 0o007)
                except OSError:
                    continue

    before = os.umask(0)
    try:
        watcher = threading.Thread(target=look)
        watcher.start()
        for _ in range(200):
            Listener(folder / "pfqd.sock", os.geteuid(), os.getegid()).close()
    finally:
        os.umask(before)
        done.set()
        watcher.join()
    assert seen == {0}


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pfqd.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.bind(str(path))
    dead.listen()
    dead.close()
    made = Listener(path, os.geteuid(), None)
    assert connects(path)
    made.close()


def test_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "pfqd.sock"
    made = Listener(path, os.geteuid(), None)
    with pytest.raises(UsageError, match="another process answers"):
        Listener(path, os.geteuid(), None)
    assert connects(path)
    made.close()


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_is_no_socket_stays(tmp_path: Path, what: str) -> None:
    path = tmp_path / "pfqd.sock"
    match what:
        case "file":
            path.write_text("mine")
        case "link":
            path.symlink_to("/etc/passwd")
        case _:
            path.mkdir()
    with pytest.raises(UsageError, match="is there and is no socket"):
        Listener(path, os.geteuid(), None)
    assert path.is_symlink() or path.exists()


def test_a_socket_that_another_put_there_stays_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pfqd.sock"
    made = Listener(path, os.geteuid(), None)
    path.unlink()
    path.write_text("another's")
    made.close()
    assert path.read_text() == "another's"


def test_folders_that_others_can_write_in_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="other users can write in"):
        Listener(tmp_path / "pfqd.sock", os.geteuid(), None)
    with pytest.raises(UsageError, match="other users can write in"):
        Running(tmp_path)


HOLD = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from pfq.daemon.listening import Running
running = Running(Path({state!r}))
print(running.take(), flush=True)
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


def test_one_runs_and_the_other_is_told_which(tmp_path: Path) -> None:
    code = HOLD.format(path=sys.path, state=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with Running(tmp_path) as running:
            assert not running.take()
            assert f"another pfqd runs on {tmp_path}: process {other.pid}" in running.refusal().message
            other.kill()
            other.wait()
            assert running.take(), "its helper still lives, and has no right to run"
            assert (tmp_path / "pfqd.lock").read_text() == f"{os.getpid()}\n"
