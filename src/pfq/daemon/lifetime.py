"""What outlives a daemon: the end-points of clients whose connection ended with it.

Each end-point bears a tag that says which session it is of, and the process that had it. The next daemon keeps it for
as long as that process lives, or until a client resumes the session.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from pfq.daemon.peer import same_process
from pfq.engine.endpoint import Endpoint
from pfq.engine.engine import Engine
from pfq.engine.group import Group
from pfq.errors import PfqError

log = logging.getLogger(__name__)

TRIES: Final = 3
PAUSE_S: Final = 1.0
_LONGEST_WAIT_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Tag:
    """What a daemon says about an end-point or a group, for its successor.

    session  the hash of the session's token; the token itself is nowhere but with the client
    start    of the process, in ticks
    """

    session: str
    pid: int
    uid: int
    start: int

    def __str__(self) -> str:
        return json.dumps([self.session, self.pid, self.uid, self.start])

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None when it is another's tag."""
        try:
            session, pid, uid, start = json.loads(text)
            return cls(str(session), int(pid), int(uid), int(start))
        except (ValueError, TypeError):
            return None


def hashed(token: str) -> str:
    """The hash by which a token is known."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True)
class Left:
    """What a session had when its daemon died.

    opened   groups that it made and that nobody has joined
    granted  bytes of rings of its end-points
    pidfd    of its process
    """

    tag: Tag
    pidfd: int | None
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    opened: dict[int, Group] = field(default_factory=dict)
    granted: dict[int, int] = field(default_factory=dict)

    def close(self) -> None:
        """Gives the descriptor back."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


def end_all(endpoints: dict[int, Endpoint], opened: dict[int, Group]) -> None:
    """A client is gone: its end-points leave their groups, and groups that it made and nobody joined end."""
    for endpoint in endpoints.values():
        endpoint.on_failure = None
        _insisted(endpoint.close, f"closing end-point {endpoint.number}")
        if endpoint.abandoned:
            log.info("end-point %d was left with %d packets that nobody had read", endpoint.number, endpoint.abandoned)
    for group in opened.values():
        if not group.closed and not group.members and not group.held:
            _insisted(group.close, f"closing group {group.number}")


def _insisted(work: Callable[[], None], what: str) -> None:
    """Does it, again and again when it fails: what is fused with it on a device may have to be compiled anew."""
    for left in reversed(range(TRIES)):
        try:
            work()
            break
        except PfqError as error:
            log.log(logging.WARNING if left else logging.ERROR, "%s: %s", what, error.message)
            time.sleep(PAUSE_S if left else 0)


class Orphans:
    """The sessions without a connection, after a daemon has taken over from one that died.

    What has no tag of a session is not a client's, and left alone.
    """

    def __init__(self, engine: Engine, ended: Callable[[Left], object]) -> None:
        """ended: called when what a session had is gone."""
        self._ended = ended
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ending = False
        self._left: dict[str, Left] = {}
        with engine.lock:
            for endpoint in engine.endpoints.values():
                if (tag := Tag.read(endpoint.tag)) is not None:
                    self._of(tag).endpoints[endpoint.number] = endpoint
            for group in engine.groups.values():
                if (tag := Tag.read(group.tag)) is not None and not group.members:
                    self._of(tag).opened[group.number] = group
        self._thread = threading.Thread(target=self._watch, name="pfqd orphans", daemon=True)

    def watch(self) -> None:
        """From now on, what processes had that are gone is ended."""
        self._thread.start()

    def _of(self, tag: Tag) -> Left:
        if tag.session not in self._left:
            self._left[tag.session] = Left(tag, same_process(tag.pid, tag.start))
        return self._left[tag.session]

    def all(self) -> list[Left]:
        """Those that are still without a connection."""
        with self._lock:
            return list(self._left.values())

    def resume(self, token: str, uid: int) -> Left | None:
        """What the session with a token has left, for a client of the same user; it is the caller's from now on."""
        session = hashed(token)
        with self._lock:
            found = self._left.get(session)
            if found is None or found.tag.uid != uid:
                return None
            del self._left[session]
        self._awake()
        return found

    def _watch(self) -> None:
        """Ends what processes had that are gone."""
        while not self._ending:
            for left in self._gone():
                left.close()
                log.info("process %d has ended; its %d end-points are closed", left.tag.pid, len(left.endpoints))
                end_all(left.endpoints, left.opened)
                self._ended(left)

    def _gone(self) -> Iterator[Left]:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        with self._lock:
            watched = {left.pidfd: left for left in self._left.values()}
            lost = [left for left in self._left.values() if left.pidfd is None]
            for left in lost:
                del self._left[left.tag.session]
        yield from lost
        for pidfd in watched:
            if pidfd is not None:
                poll.register(pidfd, select.POLLIN)
        for ready, _ in poll.poll(0 if lost else _LONGEST_WAIT_S * 1000):
            if ready == self._wake:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                continue
            with self._lock:
                # It may have been resumed at this very moment.
                found = self._left.pop(watched[ready].tag.session, None)
            if found is not None:
                yield found

    def _awake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Watches no more; what is left stays."""
        self._ending = True
        self._awake()
        self._thread.join()
        for left in self.all():
            left.close()
        os.close(self._wake)
