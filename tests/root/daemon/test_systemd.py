"""What systemd and pfqd say to each other, and the units."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from root.daemon.process import CODE, Pfqd, pfqd
from root.network import Namespace

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

PACKAGING = Path(__file__).parents[3] / "packaging"


@pytest.fixture
def daemon(netns: Namespace) -> Iterator[Pfqd]:
    with pfqd(netns) as made:
        yield made


def test_it_tells_when_it_is_ready_and_when_it_ends(daemon: Pfqd) -> None:
    daemon.start()
    assert daemon.told == ["READY=1\nSTATUS=no groups in the configuration"]
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_for("RELOADING=1").startswith("RELOADING=1\nMONOTONIC_USEC=")
    daemon.wait_for("READY=1")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.process.wait()
    assert daemon.manager.recv(1000) == b"STOPPING=1"


def test_the_watchdog_is_fed_as_long_as_the_service_answers(daemon: Pfqd) -> None:
    """It asks as a client does, so it is silent when no client gets through."""
    daemon.start(WATCHDOG_USEC="400000")
    for _ in range(3):
        daemon.wait_for("WATCHDOG=1")
    hidden = daemon.path.with_name("hidden")
    daemon.path.rename(hidden)
    assert daemon.logged("pfqd cannot reach itself: ")
    daemon.told.clear()
    with pytest.raises(AssertionError, match="no WATCHDOG=1 came"):
        daemon.wait_for("WATCHDOG=1", 1.0)
    hidden.rename(daemon.path)
    daemon.wait_for("WATCHDOG=1")
    assert daemon.end() == 0


ACTIVATED = """
import os, socket
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind({path!r})
listener.listen()
os.dup2(listener.fileno(), 3)
os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}}
"""


def test_a_socket_that_systemd_listens_at(daemon: Pfqd) -> None:
    """Its path stays when the daemon ends, so that clients can wait for the next one."""
    daemon.state.mkdir(mode=0o750)
    code = ACTIVATED.format(path=str(daemon.path)) + CODE
    told = {"NOTIFY_SOCKET": daemon.manager.getsockname()}
    command = daemon.inside.command("python3", "-c", code, "-c", str(daemon.config))
    command = (*command[:2], shutil.which("python3") or "python3", *command[3:])
    with daemon.log_path.open("a") as log:
        daemon.process = subprocess.Popen(command, stderr=log, text=True, env=os.environ | told)
    daemon.wait_for("READY=1")
    assert daemon.ask("status")["clients"] == 1
    assert daemon.end() == 0
    assert daemon.path.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(daemon.path))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_are_valid(tmp_path: Path) -> None:
    """With a command that is there in the place of one that need not be."""
    for name in ("pfqd.service", "pfqd.socket"):
        text = (PACKAGING / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/pfqd", "/bin/true"))
    units = [str(tmp_path / name) for name in ("pfqd.service", "pfqd.socket")]
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_stop_leaves_systemds_socket_alone(daemon: Pfqd) -> None:
    """It is where clients find the next one."""
    daemon.state.mkdir(mode=0o755)
    with daemon.inside.call(socket.socket, socket.AF_UNIX, socket.SOCK_SEQPACKET) as passed:
        passed.bind(str(daemon.path))
        passed.listen()
        assert daemon.command("--stop").returncode == 0
        assert daemon.path.exists()
    assert daemon.command("--stop").returncode == 0
    assert not daemon.path.exists(), "nobody listens any more"
