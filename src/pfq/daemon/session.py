"""One client: what it asks for, one request after the other, and what it has."""

from __future__ import annotations

import logging
import os
import select
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pfq import layout
from pfq.codegen.layouts import MAX_GROUPS
from pfq.daemon.calls import Answer, carry_out, quoted
from pfq.daemon.lifetime import Tag, end_all, hashed
from pfq.daemon.peer import Peer
from pfq.daemon.rights import RightsOf
from pfq.daemon.workers import on_behalf_of
from pfq.engine.endpoint import Endpoint
from pfq.engine.events import ProgramEvent
from pfq.engine.group import Group
from pfq.engine.policy import Owner
from pfq.errors import InternalError, PfqError, UsageError, VersionError
from pfq.kernel.devices import Promiscuous
from pfq.wire.channel import Channel
from pfq.wire.faults import to_record
from pfq.wire.messages import VERSION, encode

if TYPE_CHECKING:
    from pfq.daemon.service import Service

log = logging.getLogger(__name__)

MAX_ID: Final = 1 << 53
DESCRIPTORS_AT_ONCE: Final = 250
KEPT_EVENTS: Final = 256
"""Of programs, for a client that asks for them rarely."""
LONGEST_NAME: Final = 60
PART_BYTES: Final = 64_000
"""Of a result whose lists are sent in parts."""


class Session:
    """A client from its connection to its end. Its thread calls `run`; others post events.

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
        self.requests = self.errors = 0
        self.endpoints: dict[int, Endpoint] = {}
        self.opened: dict[int, Group] = {}
        self.granted: dict[int, int] = {}
        self.promiscuous: dict[str, Promiscuous] = {}
        self.events: deque[ProgramEvent] = deque(maxlen=KEPT_EVENTS)
        self.events_missed = 0
        self._channel = channel

    @property
    def tag(self) -> str:
        """What end-points and groups bear, for the next daemon."""
        return str(Tag(hashed(self.token), self.peer.pid, self.peer.uid, self.peer.start))

    @property
    def bytes(self) -> tuple[int, int]:
        """Received and sent."""
        return self._channel.received, self._channel.sent

    # its thread

    def run(self) -> None:
        """Serves the client until it or its process ends, or the daemon does."""
        with on_behalf_of(self.peer.uid):
            try:
                if self._greet():
                    while self._serve_next(None):
                        pass
            except TimeoutError:
                self._say("does not read its replies, and is disconnected")
            except ConnectionError:
                pass
            finally:
                self.end()

    def _serve_next(self, timeout: float | None) -> bool:
        """Answers one request; False when there are to be no more."""
        message = self._request(timeout)
        return message is not None and self._answer(message)

    def _request(self, timeout: float | None) -> dict[str, Any] | None:
        """The next message, when it has a number; None at the end, and after what is no message."""
        if not self._wait(timeout):
            return None
        try:
            received = self._channel.receive()
            if received is None:
                return None
            message, _ = received
            number = message.get("id")
            if type(number) is not int or not 0 <= number <= MAX_ID:
                raise UsageError(f"a request has an `id` from 0 to 2^53, not {quoted(number)}")
        except PfqError as error:
            self._refuse(None, error)
            self._say(f"sent what is no message: {error.message}")
            return None
        return message

    def _wait(self, timeout: float | None) -> bool:
        """Waits for a message; False when the process has ended, or nothing came in time."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN | select.POLLRDHUP)
        poll.register(self.peer.pidfd, select.POLLIN)
        ready = dict(poll.poll(None if timeout is None else timeout * 1000))
        return bool(ready) and self.peer.pidfd not in ready

    def _answer(self, message: dict[str, Any]) -> bool:
        number = message.pop("id")
        self.requests += 1
        name = message.pop("call", None)
        try:
            if not isinstance(name, str):
                raise UsageError(f"a request has a `call`, a text, not {quoted(name)}")
            answer = carry_out(self, name, message)
        except PfqError as error:
            self._refuse(number, error)
            return True
        except Exception as error:
            log.exception("the call `%s` failed", name)
            self._refuse(number, InternalError(f"{type(error).__name__} in `{name}`", hint="see the log of pfqd"))
            return True
        self._reply(number, answer)
        return True

    def _reply(self, number: int, answer: Answer) -> None:
        """Sends a result, with its descriptors, in as many parts as it takes."""
        result, descriptors = dict(answer.result), list(answer.descriptors)
        while len(descriptors) > DESCRIPTORS_AT_ONCE:
            self._send({"id": number, "more": True}, descriptors[:DESCRIPTORS_AT_ONCE])
            del descriptors[:DESCRIPTORS_AT_ONCE]
        for part in parts(result):
            self._send({"id": number, "more": True, "result": part})
        self._send({"id": number, "result": result}, descriptors)
        if answer.afterwards is not None:
            answer.afterwards()

    def _refuse(self, number: int | None, error: PfqError) -> None:
        self.errors += 1
        try:
            message = {"id": number, "error": to_record(error)}
            encode(message)
        except UsageError:
            message = {"id": number, "error": to_record(type(error)(error.message[:200]))}
        self._send(message)

    def _send(self, message: Mapping[str, Any], descriptors: list[int] | None = None) -> None:
        self._channel.send(message, descriptors or (), self.service.limits.send_seconds)

    # the beginning

    def _greet(self) -> bool:
        """The first request; False when there is to be no other."""
        message = self._request(self.service.limits.hello_seconds)
        if message is None:
            return False
        number = message.pop("id")
        self.requests += 1
        try:
            if message.get("call") != "hello":
                raise UsageError("the first request is `hello`", hint="docs/internals/daemon.md has an example")
            version = message.get("version")
            if type(version) is not int or version != VERSION:
                # Before anything else is looked at: other versions may have other arguments.
                raise VersionError(
                    f"the client speaks version {quoted(version)} of the protocol, pfqd {self.service.server} speaks "
                    f"version {VERSION}",
                    hint="update the older one; packets go on flowing while `systemctl restart pfqd` follows an update",
                )
            del message["call"]
            result = carry_out(self, "hello", message).result
        except PfqError as error:
            self._refuse(number, error)
            return False
        self._reply(number, Answer(result))
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
        self.post({"event": "failed", "endpoint": number, "error": to_record(error)})

    def post(self, event: Mapping[str, Any]) -> None:
        """Sends an event. Never waits: who does not read is disconnected."""
        try:
            self._channel.send(event, timeout=0)
        except TimeoutError:
            self._say("does not read, and is disconnected")
            self.hang_up()
        except OSError:  # it is gone, or its thread has just closed the connection
            pass

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

    def hang_up(self) -> None:
        """Its thread goes on, and ends."""
        self._channel.hang_up()

    def end(self) -> None:
        try:
            for each in self.promiscuous.values():
                each.close()
            if not self.service.ending:
                end_all(self.endpoints, self.opened)
                for granted in self.granted.values():
                    self.service.quotas.give(self.peer.uid, 1, granted)
        finally:
            self._channel.close()
            os.close(self.peer.pidfd)

    def _say(self, what: str) -> None:
        self.service.say(f"client {self.name!a} (process {self.peer.pid}, user {self.peer.uid}) {what}")


def parts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Takes the beginnings of lists out of a result that is too long for one message; the rest stays in it."""
    found: list[dict[str, Any]] = []
    for key, value in result.items():
        if not isinstance(value, list):
            continue
        part: list[Any] = []
        length = 0
        for each in value:
            length += len(encode({"": each}))
            part.append(each)
            if length > PART_BYTES:
                found.append({key: part})
                part, length = [], 0
        result[key] = part
    return found
