"""A daemon that says what a test wants it to say: what a client of pfqd has to bear."""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN = "0123456789abcdef" * 4
SHAPE = {
    "endpoint": 3,
    "rings": 0,
    "slots": 4096,
    "slot_bytes": 2048,
    "snaplen": 2016,
    "clock": "ns",
    "weight": 1,
    "enabled": False,
}
GREETING = {
    "version": 1,
    "server": "0",
    "layout": 1,
    "cpus": 2,
    "token": TOKEN,
    "resumed": False,
    "endpoints": [],
    "groups": 64,
}

Said = bytes | tuple[bytes, Sequence[int]] | None
"""A message, one with descriptors, or the end of the connection."""
Behaviour = Callable[[dict[str, Any]], list[Said] | None]
"""What is said to a request; None: as usual."""


def result(request: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"id": request["id"], "result": members}).encode()


def error(request: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"id": request["id"], "error": members}).encode()


class FakeDaemon:
    """Listens in a folder, and answers the clients that come, one after the other.

    requests  that came, of all clients
    """

    def __init__(self, folder: Path, behave: Behaviour | None = None) -> None:
        self.path = folder / "pfqd.sock"
        self.behave = behave or (lambda request: None)
        self.requests: list[dict[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            with connected, suppress(BrokenPipeError, ConnectionResetError):
                self._talk(connected)

    def _talk(self, connected: socket.socket) -> None:
        while data := connected.recv(1 << 18):
            request = json.loads(data)
            self.requests.append(request)
            said = self.behave(request)
            for each in [usual(request)] if said is None else said:
                if each is None:
                    return
                text, descriptors = each if isinstance(each, tuple) else (each, ())
                extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
                connected.sendmsg([text], extra)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.unlink(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def usual(request: dict[str, Any]) -> bytes:
    """What a daemon says to a request that it carries out."""
    match request["call"]:
        case "hello":
            return result(request, **GREETING | {"resumed": "resume" in request, "endpoints": [{"endpoint": 3}]})
        case "endpoint.open" | "endpoint.set" | "endpoint.enable":
            return result(request, **SHAPE)
        case "group.join":
            return result(request, group=request.get("group", 0), policy=request["policy"])
        case "group.statistics":
            names = ("arrived", "filtered", "dropped", "selected", "nobody", "forwarded", "unsent", "to_linux")
            return result(request, counters=list(range(64)), **{name: n for n, name in enumerate(names)})
        case _:
            return result(request)
