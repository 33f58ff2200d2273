"""Metrics for Prometheus: the counters of groups and end-points, and what the daemon does."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector as _Collector

from pfq.daemon.compiling.workers import WorkerCompiler
from pfq.daemon.service import Service
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.errors import FileAccessError, PfqError, ResourceError, UsageError

log = logging.getLogger(__name__)

LOCK_SECONDS: Final = 2.0
SCRAPE_SECONDS: Final = 2.0
"""For a whole request and its answer; scrapes are answered one after the other."""
MAX_REQUEST: Final = 8192
_QUEUE: Final = 8
_ENDED: Final = (errno.EINVAL, errno.EBADF)
"""What accepting says of a socket that was shut down, or closed; one of Unix goes on calling itself a listener."""

_OF_GROUPS: Final = {
    "arrived": "Packets that came to the group from its devices",
    "filtered": "Packets rejected by the group's Berkeley or VLAN filter",
    "dropped": "Packets dropped by the group's program",
    "selected": "Packets that go to end-points, as the program says",
    "nobody": "Selected packets for which no end-point was eligible",
    "forwarded": "Copies that the program wanted to be sent on other devices",
    "unsent": "Copies that the kernel refused to send",
    "to_linux": "Packets that the program passed up to Linux",
}
_OF_ENDPOINTS: Final = {
    "selected": "Copies that programs selected for the end-point",
    "delivered": "Copies put into the end-point's rings",
    "lost": "Copies lost because a ring was full",
    "read": "Copies that the reader has read",
}
_OF_SERVICE: Final = {
    "requests": ("requests", "Requests of clients"),
    "errors": ("request_errors", "Requests of clients that were answered by an error"),
    "refused": ("refused_connections", "Connections that were not let in"),
    "received": ("received_bytes", "Bytes of messages from clients"),
    "sent": ("sent_bytes", "Bytes of messages to clients"),
}


class Collector(_Collector):
    """Reads the counters whenever it is asked."""

    def __init__(self, engine: Engine, service: Service) -> None:
        self._engine = engine
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All metrics; raises ResourceError when the engine is busy for too long."""
        if not self._engine.lock.acquire(timeout=LOCK_SECONDS):
            raise ResourceError("the engine is busy")
        try:
            found = [*self._groups(), *self._endpoints(), self._devices()]
        finally:
            self._engine.lock.release()
        yield from found
        yield from self._daemon()

    def _groups(self) -> Iterator[Metric]:
        groups = sorted(self._engine.groups.items())
        statistics = [(str(number), group.statistics()) for number, group in groups]
        for name, text in _OF_GROUPS.items():
            counted = CounterMetricFamily(f"pfq_group_{name}_packets", f"{text}.", labels=("group",))
            for number, each in statistics:
                counted.add_metric((number,), getattr(each, name))
            yield counted
        user = CounterMetricFamily("pfq_group_counter", "The program's own counters.", labels=("group", "counter"))
        for number, each in statistics:
            for place, value in enumerate(each.counters):
                if value:
                    user.add_metric((number, str(place)), value)
        yield user
        members = GaugeMetricFamily("pfq_group_members", "End-points in the group.", labels=("group",))
        for of, group in groups:
            members.add_metric((str(of),), len(group.members))
        yield members
        yield _bindings(groups)

    def _endpoints(self) -> Iterator[Metric]:
        enabled = [(number, each) for number, each in sorted(self._engine.endpoints.items()) if each.enabled]
        statistics = [((str(number), str(each.owner.uid)), each.statistics()) for number, each in enabled]
        labels = ("endpoint", "uid")
        for name, text in _OF_ENDPOINTS.items():
            counted = CounterMetricFamily(f"pfq_endpoint_{name}_packets", f"{text}.", labels=labels)
            for label, each in statistics:
                counted.add_metric(label, getattr(each, name))
            yield counted
        waiting = GaugeMetricFamily("pfq_endpoint_waiting_packets", "Copies in rings, not read yet.", labels=labels)
        for label, each in statistics:
            waiting.add_metric(label, each.waiting)
        yield waiting

    def _devices(self) -> Metric:
        found = InfoMetricFamily("pfq_program", "Where a program runs.", labels=("device", "direction"))
        for side in self._engine.sides.values():
            found.add_metric((side.device.name, side.name), {"attachment": str(side.way)})
        return found

    def _daemon(self) -> Iterator[Metric]:
        status = self._service.status()
        yield InfoMetricFamily("pfq", "The daemon.", value={"version": self._service.server})
        yield GaugeMetricFamily("pfq_clients", "Clients connected now.", value=status["clients"])
        for key, (name, text) in _OF_SERVICE.items():
            yield CounterMetricFamily(f"pfq_{name}", f"{text}.", value=status[key])
        compiler = self._engine.compiler
        if isinstance(compiler, WorkerCompiler):
            jobs, failed, seconds = compiler.work()
            yield SummaryMetricFamily(
                "pfq_compile_seconds", "Work of the compilers.", count_value=jobs, sum_value=seconds
            )
            yield CounterMetricFamily("pfq_compile_failures", "Compilers that died or took too long.", value=failed)
        yield from self._reloads()

    def _reloads(self) -> Iterator[Metric]:
        last = self._service.hooks.status().get("reload")
        if last:
            worked = "1 when the configuration could be read the last time it was read again, else 0."
            yield GaugeMetricFamily("pfq_config_last_reload_successful", worked, value=float(last["ok"]))


def _bindings(groups: Sequence[tuple[int, Group]]) -> Metric:
    found = InfoMetricFamily("pfq_binding", "A device that a group gets packets of.", labels=("group", "device"))
    seen = set()
    for number, group in groups:
        for bound in group.bindings:
            if (key := (str(number), bound.device.name)) not in seen:
                seen.add(key)
                found.add_metric(key, {"direction": bound.direction, "binding": bound.binding})
    return found


def listener(address: str) -> socket.socket:
    """A listening socket at `HOST:PORT`, or at `unix:PATH`; raises UsageError, FileAccessError."""
    kind, _, path = address.partition(":")
    if kind == "unix":
        return _unix(Path(path))
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 0xFFFF:
        raise UsageError(f"`{address}` is no address for metrics", hint="127.0.0.1:9812, or unix:/run/pfq/metrics.sock")
    host = host.removeprefix("[").removesuffix("]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=_QUEUE)
    except OSError as error:
        raise UsageError(f"cannot listen for metrics at {address}: {error.strerror}") from None


def _unix(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        made.bind(str(path))
        made.listen(_QUEUE)
    except OSError as error:
        made.close()
        raise FileAccessError(f"cannot listen for metrics at {path}: {error.strerror or error}") from None
    finally:
        os.umask(before)
    return made


def serve(where: socket.socket, engine: Engine, service: Service) -> threading.Thread:
    """Answers scrapes in a thread, until the socket is shut down."""
    registry = CollectorRegistry()
    registry.register(Collector(engine, service))
    ProcessCollector(registry=registry)
    thread = threading.Thread(target=_serve, args=(where, registry), name="pfqd metrics", daemon=True)
    thread.start()
    return thread


def _serve(where: socket.socket, registry: CollectorRegistry) -> None:
    while True:
        try:
            connected, _ = where.accept()
        except OSError as error:
            if error.errno in _ENDED:
                return
            time.sleep(SCRAPE_SECONDS / 10)  # no descriptors: the scraper stays in the queue
            continue
        with connected, suppress(OSError):
            _answer(connected, registry)


def _answer(connected: socket.socket, registry: CollectorRegistry) -> None:
    """One request; whoever is slow is left."""
    deadline = time.monotonic() + SCRAPE_SECONDS
    request = b""
    while b"\r\n\r\n" not in request and b"\n\n" not in request:
        connected.settimeout(max(0.001, deadline - time.monotonic()))
        if len(request) > MAX_REQUEST or not (piece := connected.recv(MAX_REQUEST)):
            return
        request += piece
    method, _, rest = request.partition(b" ")
    status, text = _page(method, rest.split(b" ")[0].partition(b"?")[0], registry)
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(text)}\r\n"
    answer = memoryview(head.encode() + b"Connection: close\r\n\r\n" + (b"" if method == b"HEAD" else text))
    while answer:
        connected.settimeout(max(0.001, deadline - time.monotonic()))
        answer = answer[connected.send(answer) :]


def _page(method: bytes, path: bytes, registry: CollectorRegistry) -> tuple[str, bytes]:
    if method not in (b"GET", b"HEAD"):
        return "405 Method Not Allowed", b""
    if path not in (b"/", b"/metrics"):
        return "404 Not Found", b""
    try:
        return "200 OK", generate_latest(registry)
    except (PfqError, ValueError) as error:
        # What was counted ended meanwhile, or the engine is at work; the next scrape has it again.
        log.debug("a scrape failed: %s", error)
        return "503 Service Unavailable", b""
