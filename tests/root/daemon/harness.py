"""The core of pfqd in a thread of the test, and a bare client that says just what it is told to say."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from root.network import Pair

from pfq.daemon.access import Access, Rule
from pfq.daemon.limits import Limits
from pfq.daemon.service import Hooks, Service
from pfq.engine.engine import Engine
from pfq.errors import PfqError
from pfq.wire.channel import Channel, connect
from pfq.wire.faults import from_record

NOBODY_UID = 65534
_CREDENTIAL_CALLS = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}
"""Numbers of setgroups, setresgid and setresuid, which change the calling thread only."""
_libc = ctypes.CDLL(None, use_errno=True)
EVERYTHING = Rule(everybody=True, groups=None, devices=None, allow=frozenset(["configure"]))
"""Lets everybody do all that is not an administrator's."""


@dataclass
class Daemon:
    """A service that runs.

    path    of its socket, which anybody may reach
    thread  in which it accepts clients
    """

    service: Service
    engine: Engine
    path: Path
    thread: threading.Thread = field(repr=False)

    def client(self, **options: Any) -> Client:
        """A client in this process, which has said hello."""
        return Client(self.path, **options)


@contextmanager
def running(
    pair: Pair,
    rules: Sequence[Rule] = (EVERYTHING,),
    limits: Limits | None = None,
    hooks: Hooks | None = None,
    engine: Engine | None = None,
    folder: Path | None = None,
    goodbye: bool = True,
) -> Iterator[Daemon]:
    """A daemon in the namespace of `dev_b`.

    engine  one that is there already, and stays; None: its own, which is closed at the end
    folder  for the socket; None: a new one
    """
    with ExitStack() as undo:
        if folder is None:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="pfqt-")))
        folder.chmod(0o755)
        if engine is None:
            engine = undo.enter_context(pair.b.call(Engine))
        path = folder / "pfqd.sock"
        path.unlink(missing_ok=True)
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(128)
        service = Service(engine, Access(rules), limits or Limits(), hooks=hooks)
        # Its threads are where the thread is that starts it.
        thread = threading.Thread(target=service.serve, args=(listener,))
        pair.b.call(thread.start)
        try:
            yield Daemon(service, engine, path, thread)
        finally:
            service.stop(goodbye)
            thread.join(20)
            assert not thread.is_alive(), "the service does not end"


def connected_as(path: Path, uid: int, gids: Sequence[int] = (NOBODY_UID,)) -> Channel:
    """A connection that another user of this machine makes: to Linux, each thread has a user of its own."""
    numbers = _CREDENTIAL_CALLS[platform.machine()]

    def work() -> Channel:
        groups = (ctypes.c_uint32 * len(gids))(*gids)
        for number, arguments in zip(numbers, ((len(gids), groups), (gids[0],) * 3, (uid,) * 3), strict=True):
            assert _libc.syscall(number, *arguments) == 0
        return connect(path)

    with ThreadPoolExecutor(1) as other:
        return other.submit(work).result()


class Client:
    """Speaks the protocol, and keeps descriptors and events that come."""

    def __init__(
        self,
        path: Path,
        *,
        hello: bool = True,
        resume: str | None = None,
        version: int = 1,
        uid: int = 0,
        gids: Sequence[int] = (NOBODY_UID,),
    ) -> None:
        self.channel: Channel = connected_as(path, uid, gids) if uid else connect(path)
        self.number = 0
        self.events: list[dict[str, Any]] = []
        self.descriptors: list[int] = []
        self.greeting: dict[str, Any] = {}
        if hello:
            more = {} if resume is None else {"resume": resume}
            try:
                self.greeting = self.call("hello", version=version, client="tests", **more)
            except BaseException:
                self.close()
                raise

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The result of a call; raises the error that comes instead. An argument `on_` is sent as `on`."""
        self.number += 1
        plain = {key.rstrip("_"): value for key, value in arguments.items()}
        with suppress(BrokenPipeError):  # it has been sent away, and is told why
            self.channel.send({"id": self.number, "call": name, **plain})
        return self.reply(self.number)

    def reply(self, number: int | None) -> dict[str, Any]:
        """The reply to a request; other messages are kept."""
        found: dict[str, Any] = {}
        while True:
            message = self.receive()
            if "event" in message:
                self.events.append(message)
                continue
            assert message["id"] in (number, None), message
            if "error" in message:
                raise from_record(message["error"])
            for key, value in message.get("result", {}).items():
                found[key] = found[key] + value if key in found else value
            if not message.get("more"):
                return found

    def receive(self, timeout: float = 10.0) -> dict[str, Any]:
        """The next message; raises EOFError at the end of the connection."""
        received = self.channel.receive(timeout)
        if received is None:
            raise EOFError("the daemon has closed the connection")
        message, descriptors = received
        self.descriptors += descriptors
        return message

    def refused(self, name: str, /, **arguments: Any) -> PfqError:
        """The error of a call that must fail."""
        try:
            result = self.call(name, **arguments)
        except PfqError as error:
            return error
        raise AssertionError(f"{name} was carried out: {result}")

    def is_closed(self) -> bool:
        """The daemon has ended the connection, or does so within a moment."""
        try:
            while True:
                self.receive(5.0)
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.channel.close()
        for each in self.descriptors:
            with suppress(OSError):
                os.close(each)
        self.descriptors.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_AS_NOBODY = """
import os, sys
sys.path[:0] = {path!r}
import select, socket, pfq.wire.channel, root.daemon.harness
{imports}
os.setgroups([])
os.setresgid({uid}, {uid}, {uid})
os.setresuid({uid}, {uid}, {uid})
{code}
"""


@contextmanager
def as_nobody(code: str, *arguments: str, imports: str = "") -> Iterator[subprocess.Popen[str]]:
    """A Python process without any rights, which has our `sys.path`; killed at the end unless it is dead by then.

    imports  done before it gives its rights up: nobody need not be able to read our files
    Its standard input and output are pipes of lines.
    """
    text = _AS_NOBODY.format(path=sys.path, uid=NOBODY_UID, imports=imports, code=code)
    command = [sys.executable, "-c", text, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()
