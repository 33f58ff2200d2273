"""The core of pfqd: accepts clients, and gives each a thread.

Engine calls are thread-safe, so that clients wait for each other only where the engine makes them. Nothing here waits
for a client that does not read, and nothing that a client can do makes anything grow beyond its limits.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pfq
from pfq.codegen.memory import consumer_spec, ring_spec
from pfq.daemon.access import Access
from pfq.daemon.calls import daemon as calls_daemon
from pfq.daemon.calls import endpoint as calls_endpoint
from pfq.daemon.calls import group as calls_group
from pfq.daemon.lifetime import Left, Orphans
from pfq.daemon.limits import Limits
from pfq.daemon.peer import Peer, refuse_descriptors, user_name
from pfq.daemon.quotas import Bucket, Quotas
from pfq.daemon.session import Session
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.shapes import USUAL_MTU, shape_for
from pfq.errors import NotPermittedError, PfqError
from pfq.wire.channel import Channel
from pfq.wire.faults import to_record

log = logging.getLogger(__name__)

CALLS: Final = (calls_daemon, calls_endpoint, calls_group)
"""The modules whose functions are the calls."""

_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACK_OFF_S: Final = 0.2
_LINES_PER_S: Final = 5
_LINES_AT_ONCE: Final = 20
_PATIENCE_S: Final = 5.0
_DOORBELL_BYTES: Final = 4 * 4096


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the process does for clients.

    reload  reads the configuration again and says what changed; raises when it has faults
    stop    has the process end soon, with all that is attached; returns at once
    status  what it knows of itself
    """

    reload: Callable[[], dict[str, Any]] = dict
    stop: Callable[[], None] = lambda: None
    status: Callable[[], dict[str, Any]] = dict


class Service:
    """Serves the clients of one engine.

    access   may be replaced at any time; it holds from the next request on
    ending   it serves no more
    """

    def __init__(self, engine: Engine, access: Access, limits: Limits, *, hooks: Hooks | None = None) -> None:
        self.engine = engine
        self.access = access
        self.hooks = hooks or Hooks()
        self.quotas = Quotas(limits)
        self.server = pfq.__version__
        self.started = time.time()
        self.ending = False
        self._goodbye = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._sessions: dict[Session, threading.Thread] = {}
        self._past: Counter[str] = Counter()
        self._lines = Bucket(_LINES_PER_S, _LINES_AT_ONCE)
        self._unsaid = 0
        self.orphans = Orphans(engine, ended=self._count_out)
        for left in self.orphans.all():
            left.granted = {number: self.used_by(endpoint) for number, endpoint in left.endpoints.items()}
            for granted in left.granted.values():
                self.quotas.take(left.tag.uid, False, 1, granted)
        self.orphans.watch()

    @property
    def limits(self) -> Limits:
        """May be replaced at any time; what was granted stays."""
        return self.quotas.limits

    @limits.setter
    def limits(self, value: Limits) -> None:
        self.quotas.limits = value

    # clients come and go

    def serve(self, listener: socket.socket) -> None:
        """Accepts clients until `stop`; then all of them are gone. The listener stays the caller's.

        listener  SOCK_SEQPACKET, bound and listening
        """
        listener.setblocking(False)
        refuse_descriptors(listener)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self.ending:
            poll.poll()
            if not self.ending:
                self._accept(listener)
        self._let_go()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except (BlockingIOError, ConnectionError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            # The client stays in the queue, so that `poll` would return at once, again and again.
            self.say(f"cannot accept clients: {error.strerror}")
            time.sleep(_BACK_OFF_S)
            return
        self._admit(connected)

    def _admit(self, connected: socket.socket) -> None:
        """Begins a session, if the client may have one. Nothing that it sent is looked at before."""
        channel = Channel(connected, descriptors=0)
        peer = None
        try:
            peer = Peer.of(connected)
            refuse_descriptors(connected)
            self._check(peer)
        except (OSError, PfqError) as error:
            with channel:
                self._refuse(channel, peer, error)
            return
        self._begin(Session(self, channel, peer))

    def _refuse(self, channel: Channel, peer: Peer | None, error: OSError | PfqError) -> None:
        self._count("refused")
        who = "a client"
        if peer is not None:
            who = f"process {peer.pid} of user {peer.uid}"
            os.close(peer.pidfd)
        if isinstance(error, PfqError):
            with suppress(OSError):  # it is gone already
                channel.send({"id": None, "error": to_record(error)}, timeout=0)
        self.say(f"refused {who}: {error.message if isinstance(error, PfqError) else error.strerror}")

    def _check(self, peer: Peer) -> None:
        if not self.access.has_any(peer):
            raise NotPermittedError(
                f"user {user_name(peer.uid)} has no rights here",
                hint="the administrator gives them in the configuration of pfqd, under [[rights]]",
            )
        self.quotas.connect(peer.uid, self.is_limited(peer))

    def _begin(self, session: Session) -> None:
        thread = threading.Thread(target=self._run, args=(session,), name="pfqd client", daemon=True)
        with self._lock:
            self._sessions[session] = thread
        try:
            thread.start()
        except RuntimeError:
            self.say("cannot serve a client: no more threads")
            self._forget(session)
            session.end()

    def _run(self, session: Session) -> None:
        try:
            session.run()
        except Exception:
            log.exception("a session failed")
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        with self._lock:
            self._sessions.pop(session, None)
            self._past.update(_counts(session))
        self.quotas.disconnect(session.peer.uid)

    def stop(self, goodbye: bool = False) -> None:
        """Has `serve` return soon, without clients; their end-points are left to the engine. Again is harmless.

        goodbye  clients are told that everything is taken down; otherwise they look for the next daemon
        """
        if self.ending:
            return
        self._goodbye = goodbye
        self.ending = True
        os.eventfd_write(self._wake, 1)

    def _let_go(self) -> None:
        with self._lock:
            sessions = dict(self._sessions)
        for session in sessions:
            if self._goodbye:
                session.talk.post({"event": "stopping"})
            session.talk.channel.hang_up()
        end = time.monotonic() + _PATIENCE_S
        for thread in sessions.values():
            thread.join(max(0.0, end - time.monotonic()))
        self.orphans.close()
        os.close(self._wake)

    # what calls need

    def is_limited(self, peer: Peer) -> bool:
        """Whether the quotas of users hold for it."""
        return peer.uid not in (0, os.geteuid())

    def used_by(self, endpoint: Endpoint) -> int:
        """Memory of an end-point's rings."""
        has_rings = endpoint.enabled and endpoint.egress is None
        return self.bytes_of(endpoint.snaplen, endpoint.slots) if has_rings else 0

    def bytes_of(self, snaplen: int | None, slots: int | None) -> int:
        """Memory of the rings for a snap length and a number of slots; raises UsageError for what cannot be."""
        cpus = self.engine.memory.cpus
        ring, consumer = ring_spec(shape_for(USUAL_MTU, snaplen, slots)), consumer_spec(cpus)
        return cpus * ring.value_bytes * ring.entries + consumer.value_bytes * cpus + _DOORBELL_BYTES

    def deal_events(self) -> None:
        """Gives what programs told to the sessions that it is for."""
        with self._lock:
            sessions = [(session, session.groups()) for session in self._sessions]
            for event in self.engine.events():
                for session, groups in sessions:
                    if event.group in groups:
                        session.tell(event)

    def _count_out(self, left: Left) -> None:
        for granted in left.granted.values():
            self.quotas.give(left.tag.uid, 1, granted)

    # what it tells

    def clients(self) -> list[dict[str, Any]]:
        """The clients now."""
        with self._lock:
            sessions = list(self._sessions)
        return [
            {
                "pid": session.peer.pid,
                "uid": session.peer.uid,
                "user": user_name(session.peer.uid),
                "client": session.name,
                "since": session.since,
                "endpoints": sorted(session.endpoints),
                "requests": session.talk.requests,
                "errors": session.talk.errors,
            }
            for session in sessions
        ]

    def status(self) -> dict[str, Any]:
        """Counts since the service was made.

        clients   connected now
        orphans   sessions that wait for their client, since another daemon died
        requests, errors        of all clients; errors are replies that say so
        refused                 connections that were not let in
        received, sent          bytes of messages
        """
        with self._lock:
            found = Counter(self._past)
            for session in self._sessions:
                found.update(_counts(session))
            clients = len(self._sessions)
        names = ("requests", "errors", "refused", "received", "sent")
        waiting = len(self.orphans.all())
        return {"clients": clients, "orphans": waiting, **{name: found[name] for name in names}}

    def _count(self, what: str) -> None:
        with self._lock:
            self._past[what] += 1

    def say(self, line: str) -> None:
        """Logs a line that clients can cause; not more of them than somebody can read."""
        with self._lock:
            if not self._lines.take(time.monotonic()):
                self._unsaid += 1
                return
            unsaid, self._unsaid = self._unsaid, 0
        log.warning("%s%s", line, f" ({unsaid} other lines were left out)" if unsaid else "")


def _counts(session: Session) -> dict[str, int]:
    talk = session.talk
    counts = {"requests": talk.requests, "errors": talk.errors}
    return counts | {"received": talk.channel.received, "sent": talk.channel.sent}
