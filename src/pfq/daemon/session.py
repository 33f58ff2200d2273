"""One client: what it asks for, one request after the other, and what it has."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pfq import layout
from pfq.codegen.layouts import MAX_GROUPS
from pfq.daemon.calls.table import carry_out, quoted
from pfq.daemon.compiling.workers import on_behalf_of
from pfq.daemon.conversation import Conversation
from pfq.daemon.lifetime import Tag, end_all, hashed
from pfq.daemon.peer import Peer
from pfq.daemon.rights import RightsOf
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import ProgramEvent
from pfq.engine.group import Group
from pfq.engine.policy import Owner
from pfq.errors import InternalError, PfqError, UsageError, VersionError
from pfq.kernel.devices import Promiscuous
from pfq.wire.channel import Channel
from pfq.wire.faults import to_record
from pfq.wire.messages import VERSION

if TYPE_CHECKING:
    from pfq.daemon.service import Service

log = logging.getLogger(__name__)

KEPT_EVENTS: Final = 256
"""Of programs, for a client that asks for them rarely."""
LONGEST_NAME: Final = 60


class Session:
    """A client from its connection to its end. Its thread calls `run`.

    talk       its connection; any thread may post events
    name       of the client's software, as it calls itself
    endpoints  its own, by number
    opened     groups that it made
    granted    bytes of rings of its end-points, as counted in the quotas
    """

    def __init__(self, service: Service, channel: Channel, peer: Peer) -> None:
        self.service = service
        self.peer = peer
        self.rights = RightsOf(self)
        self.owner = Owner(peer.pid, peer.uid)
        self.name = ""
        self.token = ""
        self.since = time.time()
        self.talk = Conversation(channel, peer, self._say)
        self.endpoints: dict[int, Endpoint] = {}
        self.opened: dict[int, Group] = {}
        self.granted: dict[int, int] = {}
        self.promiscuous: dict[str, Promiscuous] = {}
        self.events: deque[ProgramEvent] = deque(maxlen=KEPT_EVENTS)
        self.events_missed = 0

    @property
    def tag(self) -> str:
        """What end-points and groups bear, for the next daemon."""
        return str(Tag(hashed(self.token), self.peer.pid, self.peer.uid, self.peer.start))

    # its thread

    def run(self) -> None:
        """Serves the client until it or its process ends, or the daemon does."""
        with on_behalf_of(self.peer.uid):
            try:
                if self._greet():
                    while (request := self.talk.request()) is not None:
                        self._answer(*request)
            except TimeoutError:
                self._say("does not read its replies, and is disconnected")
            except ConnectionError:
                pass
            finally:
                self.end()

    def _answer(self, number: int, arguments: dict[str, Any]) -> None:
        name = arguments.pop("call", None)
        patience = self.service.limits.send_seconds
        try:
            if not isinstance(name, str):
                raise UsageError(f"a request has a `call`, a text, not {quoted(name)}")
            answer = carry_out(self, name, arguments)
        except PfqError as error:
            self.talk.refuse(number, error, patience)
            return
        except Exception as error:
            log.exception("the call `%s` failed", name)
            fault = InternalError(f"{type(error).__name__} in `{name}`", hint="see the log of pfqd")
            self.talk.refuse(number, fault, patience)
            return
        self.talk.reply(number, answer, patience)
        if answer.afterwards is not None:
            answer.afterwards()

    # the beginning

    def _greet(self) -> bool:
        """The first request; False when there is to be no other."""
        limits = self.service.limits
        request = self.talk.request(limits.hello_seconds)
        if request is None:
            return False
        number, message = request
        try:
            if message.get("call") != "hello":
                raise UsageError("the first request is `hello`", hint="docs/internals/daemon.md has an example")
            version = message.get("version")
            if type(version) is not int or version != VERSION:
                # Before anything else is looked at: other versions may have other arguments.
                raise VersionError(
                    f"the client speaks version {quoted(version)} of the protocol, pfqd {self.service.server} speaks "
                    f"version {VERSION}",
                    hint="update the older one; the manual says how pfqd starts again without a gap",
                )
            del message["call"]
            answer = carry_out(self, "hello", message)
        except PfqError as error:
            self.talk.refuse(number, error, limits.send_seconds)
            return False
        self.talk.reply(number, answer, limits.send_seconds)
        for endpoint in self.endpoints.values():
            self.keep(endpoint)
        return True

    def begin(self, name: str, token: str | None) -> bool:
        """A fresh session, or one that a daemon before this one had; True when it is that."""
        self.name = name[:LONGEST_NAME]
        left = None if token is None else self.service.orphans.resume(token, self.peer.uid)
        if left is None or token is None:
            self.token = os.urandom(32).hex()
            return False
        self.token = token
        self.endpoints, self.opened, self.granted = left.endpoints, left.opened, left.granted
        left.close()
        for endpoint in self.endpoints.values():
            if left.tag.pid != self.peer.pid:
                endpoint.owner, endpoint.tag = self.owner, self.tag
        for group in self.opened.values():
            group.tag = self.tag
        return True

    def greeting(self, resumed: bool) -> dict[str, Any]:
        return {
            "version": VERSION,
            "server": self.service.server,
            "layout": layout.VERSION,
            "cpus": self.service.engine.memory.cpus,
            "token": self.token,
            "resumed": resumed,
            "endpoints": [{"endpoint": number} for number in sorted(self.endpoints)],
            "groups": MAX_GROUPS,
        }

    # what others tell it

    def keep(self, endpoint: Endpoint) -> None:
        """An end-point is its own from now on; it is told when no more packets come to it."""
        self.endpoints[endpoint.number] = endpoint
        endpoint.on_failure = partial(self._failed, endpoint.number)

    def _failed(self, number: int, error: PfqError) -> None:
        self.talk.post({"event": "failed", "endpoint": number, "error": to_record(error)})

    def tell(self, event: ProgramEvent) -> None:
        """Keeps what a program told until the client asks for it."""
        if len(self.events) == KEPT_EVENTS:
            self.events_missed += 1
        self.events.append(event)

    def groups(self) -> set[int]:
        """The groups that it has something to do with."""
        found = {number for number, group in list(self.opened.items()) if not group.closed}
        for endpoint in list(self.endpoints.values()):
            found |= set(endpoint.groups)
        return found

    # the end

    def end(self) -> None:
        """Gives back what the client had; its connection is closed then."""
        try:
            for each in self.promiscuous.values():
                each.close()
            if not self.service.ending:
                end_all(self.endpoints, self.opened)
                for granted in self.granted.values():
                    self.service.quotas.give(self.peer.uid, 1, granted)
        finally:
            self.talk.channel.close()
            os.close(self.peer.pidfd)

    def _say(self, what: str) -> None:
        self.service.say(f"client {self.name!a} (process {self.peer.pid}, user {self.peer.uid}) {what}")
