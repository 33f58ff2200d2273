"""A daemon without a kernel: it speaks the protocol, the test says what it answers, its rings are memory files."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pfq.errors import PfqError, UsageError
from pfq.wire.channel import Channel
from pfq.wire.faults import to_record
from pfq.wire.messages import VERSION
from support.rings import FakeRings

Answer = Callable[[dict[str, Any]], dict[str, Any]]
CHANGE = {"devices": ["eth0"], "compile": 0.01, "load": 0.002, "swap": 0.0005}
GROUP = {
    **dict.fromkeys(("filtered", "dropped", "nobody", "forwarded", "unsent", "to_linux"), 0),
    "arrived": 3,
    "selected": 3,
    "counters": [*range(64)],
}
SHAPE = {"rings": 1, "slots": 8, "slot_bytes": 128, "snaplen": 96, "clock": "ns", "weight": 1, "enabled": True}


class FakeDaemon:
    """Listens at `path`, as long as it is started.

    asked      requests, without those that say hello
    hellos     those
    answers    what else it answers to a call; a function that raises a PfqError answers with it
    rings      of end-points by number
    sessions   end-points by token; a token that is not there was forgotten
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self._stack = path, stack
        self.asked: list[dict[str, Any]] = []
        self.hellos: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        self.rings: dict[int, FakeRings] = {}
        self.sessions: dict[str, set[int]] = {}
        self.channels: list[Channel] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._spawn(self._accept, self._listener)

    def die(self) -> None:
        """As `kill -9` does: connections end without a word, and the socket stays as a dead file."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
        for channel in self.channels:
            channel.hang_up()
        for thread in self._threads:
            thread.join()
        if self._listener is not None:
            self._listener.close()
        self.channels, self._threads, self._listener = [], [], None

    def tell(self, **event: Any) -> None:
        """Sends an event to all clients."""
        for channel in self.channels:
            channel.send(event)

    def calls(self) -> list[str]:
        return [request["call"] for request in self.asked]

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                channel = Channel(listener.accept()[0], descriptors=0)
                self.channels.append(channel)
                self._spawn(self._serve, channel)

    def _serve(self, channel: Channel) -> None:
        with channel, suppress(ConnectionError):
            received = channel.receive()
            if received is None:
                return
            own = self._hello(channel, received[0])
            while (received := channel.receive()) is not None:
                self._answer(channel, received[0], own)

    def _hello(self, channel: Channel, request: dict[str, Any]) -> set[int]:
        self.hellos.append(request)
        if error := self.answers.get("hello"):
            channel.send({"id": request["id"], **error(request)})
        token = request.get("resume", "")
        resumed = token in self.sessions
        if not resumed:
            token = f"{len(self.hellos):064x}"
        own = self.sessions.setdefault(token, set())
        there = [{"endpoint": number} for number in sorted(own)]
        about = {"version": VERSION, "server": "0.1.0", "layout": 1, "cpus": 1, "groups": 64}
        channel.send({"id": 0, "result": about | {"token": token, "resumed": resumed, "endpoints": there}})
        return own

    def _answer(self, channel: Channel, request: dict[str, Any], own: set[int]) -> None:
        self.asked.append(request)
        name = request["call"]
        try:
            if name in ("endpoint.open", "endpoint.enable") and name not in self.answers:
                self._open(channel, request, own)
                return
            result = self.answers.get(name, lambda request: self._usual(request, own))(request)
        except PfqError as error:
            channel.send({"id": request["id"], "error": to_record(error)})
            return
        channel.send({"id": request["id"], "result": result})

    def _open(self, channel: Channel, request: dict[str, Any], own: set[int]) -> None:
        number = request.get("endpoint", len(self.rings))
        rings = self.rings[number] = self._stack.enter_context(FakeRings())
        own.add(number)
        shape = SHAPE | {name: request[name] for name in ("weight", "enabled") if name in request}
        reply = {"id": request["id"], "result": {"endpoint": number, **shape}}
        if not shape["enabled"]:
            channel.send(reply)
            return
        doorbell = os.memfd_create("doorbell")
        os.ftruncate(doorbell, 8192)
        channel.send({"id": request["id"], "more": True}, rings.ring_fds)
        channel.send(reply, [rings.consumer_fd, doorbell])
        os.close(doorbell)

    def _usual(self, request: dict[str, Any], own: set[int]) -> dict[str, Any]:
        """What most tests want to hear."""
        match request["call"]:
            case "group.open":
                return {"group": request["group"] if request["group"] is not None else 0}
            case "group.statistics":
                return GROUP
            case "group.join":
                return {"group": request["group"], "policy": "shared"}
            case "group.reload_sets":
                return {"changed": ["blocked.txt"]}
            case "endpoint.close":
                if request["endpoint"] not in own:
                    raise UsageError(f"there is no end-point {request['endpoint']}")
                own.remove(request["endpoint"])
                return {}
            case "endpoint.set":
                return {"endpoint": request["endpoint"], **SHAPE, **request}
            case "events":
                return {"events": [], "missed": 0}
            case "group.replace_set" | "group.leave" | "group.close" | "endpoint.disable":
                return {}
        return CHANGE


@contextmanager
def fake_daemon(folder: Path) -> Iterator[FakeDaemon]:
    """One that runs; it ends with the block."""
    with ExitStack() as stack:
        daemon = FakeDaemon(folder / "pfqd.sock", stack)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.die()
            # Answers may refer to the daemon, and would keep its rings mapped until the next collection of garbage.
            daemon.answers.clear()
            daemon.rings.clear()
