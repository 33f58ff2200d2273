"""pfqd as a process of its own, in the namespace of `dev_b`."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from root.daemon.harness import Client
from root.network import Namespace, Pair, eventually

from pfq.engine.store import Store
from pfq.kernel import abi
from pfq.kernel import sys as sys_calls
from pfq.kernel.devices import device

BPF_FS = Path("/sys/fs/bpf")
CODE = f"import sys; sys.path[:0] = {sys.path!r}; from pfq.daemon.main import main; main()"
PATIENCE_S = 30.0
"""The machine may be busy; nothing here takes longer than a second or two."""

_numbers = itertools.count()


@dataclass
class Pfqd:
    """A configuration with its directories, and the processes that run on it.

    told     what it told systemd since it was started
    """

    inside: Namespace
    folder: Path
    pins: Path
    manager: socket.socket
    process: subprocess.Popen[str] | None = None
    told: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "pfqd.toml"

    @property
    def state(self) -> Path:
        return self.folder / "run"

    @property
    def path(self) -> Path:
        return self.state / "pfqd.sock"

    def configure(self, text: str = "", daemon: str = "") -> None:
        """Writes the configuration as editors do: a new file in the place of the old one."""
        head = f'[daemon]\nsocket = "{self.path}"\nstate = "{self.state}"\npins = "{self.pins}"\n{daemon}\n'
        new = self.folder / ".new"
        new.write_text(head + text)
        new.rename(self.config)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A pfqd that ends by itself, or goes to the background."""
        command = self.inside.command(sys.executable, "-c", CODE, "-c", str(self.config), *arguments)
        said = self.folder / "said"
        with said.open("w") as file:
            run = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                timeout=PATIENCE_S,
                check=False,
                env=os.environ | environment,
            )
        return subprocess.CompletedProcess(command, run.returncode, run.stdout, said.read_text())

    def start(self, **environment: str) -> None:
        """Starts it and waits until it serves."""
        self.begin(**environment)
        self.wait_for("READY=1")

    def begin(self, **environment: str) -> None:
        """Starts it."""
        self.told.clear()
        told = {"NOTIFY_SOCKET": self.manager.getsockname()}
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                self.inside.command(sys.executable, "-c", CODE, "-c", str(self.config)),
                stderr=log,
                text=True,
                env=os.environ | told | environment,
            )

    def wait_for(self, text: str, seconds: float = PATIENCE_S) -> str:
        """The next message to systemd in which a text is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(TimeoutError):
                self.told.append(self.manager.recv(10_000).decode())
                if text in self.told[-1]:
                    return self.told[-1]
            assert self.process is None or self.process.poll() is None, self.log
        raise AssertionError(f"no {text} came: {self.told} {self.log}")

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def logged(self, pattern: str) -> bool:
        """Whether a line of the log has it, now or in a moment."""
        return bool(eventually(lambda: re.search(pattern, self.log), PATIENCE_S))

    def reload(self, text: str) -> str:
        """Writes another configuration; what systemd is told when it was read."""
        self.configure(text)
        self.wait_for("RELOADING=1")
        return self.wait_for("READY=1")

    def client(self, **options: Any) -> Client:
        """A client, whose connection is closed at the end if not before."""
        self.clients.append(Client(self.path, **options))
        return self.clients[-1]

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """The result of one call of a client that ends then."""
        client = Client(self.path)
        try:
            return client.call(call, **arguments)
        finally:
            client.close()

    def program(self, name: str) -> int:
        """The id of the XDP program of a device; 0: there is none."""
        found = self.inside.call(device, name).xdp
        return 0 if found is None else found.id

    def links(self) -> set[int]:
        """The numbers of the links that are pinned."""
        found = set()
        for path in self.pins.glob("link-*"):
            with sys_calls.obj_get(str(path)) as link:
                found.add(sys_calls.info(link.fileno(), abi.LinkInfo).id)
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and waits for the end; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def left(self) -> list[str]:
        """What is pinned, and what is in the state directory, but for the lock."""
        pinned = [path.name for path in self.pins.iterdir()] if self.pins.exists() else []
        there = [path.name for path in self.state.iterdir()] if self.state.exists() else []
        return sorted(pinned + there, key=str)

    def close(self) -> None:
        """Ends it, and takes everything down that it may have left."""
        for client in self.clients:
            client.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._kill_background()
        if self.state.exists():
            eventually(self._take_down, PATIENCE_S)
        with suppress(OSError):
            self.pins.rmdir()
        self.manager.close()
        shutil.rmtree(self.folder)

    def _kill_background(self) -> None:
        """A test that failed may have left one there."""
        with suppress(OSError, ValueError):
            pid = int((self.state / "pfqd.lock").read_text())
            if str(self.config).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def _take_down(self) -> bool:
        self.inside.call(lambda: Store(self.pins, self.state / "engine.json").remove())
        return True


@contextmanager
def pfqd(inside: Namespace) -> Iterator[Pfqd]:
    """Nothing runs yet; at the end nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="pfqt-"))
    folder.chmod(0o755)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(folder / "notify"))
    (folder / "notify").chmod(0o777)
    manager.settimeout(0.2)
    made = Pfqd(inside, folder, BPF_FS / f"pfqt{os.getpid()}-{next(_numbers)}", manager)
    made.configure()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def pfqd_of(pair: Pair) -> Iterator[Pfqd]:
    """The same, in the namespace of `dev_b`."""
    with pfqd(pair.b) as made:
        yield made


def group(number: int, program: str = "unit", inputs: tuple[str, ...] = (), hook: str = "xdp", **more: Any) -> str:
    """A `[[group]]`; further keys as TOML. At XDP the program of a device is seen from outside."""
    places = ", ".join(f'{{ device = "{name}", hook = "{hook}" }}' for name in inputs)
    lines = ["[[group]]", f"number = {number}", f"program = '{program}'", f"input = [{places}]"]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in more.items()), ""])
