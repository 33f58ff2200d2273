"""Talking with one client: requests come in, replies and events go out, and nobody waits for who does not read."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pfq.daemon.calls.table import Answer, quoted
from pfq.daemon.peer import Peer
from pfq.errors import PfqError, UsageError
from pfq.wire.channel import Channel
from pfq.wire.faults import to_record
from pfq.wire.messages import encode

MAX_ID: Final = 1 << 53
DESCRIPTORS_AT_ONCE: Final = 250
PART_BYTES: Final = 64_000
"""Of a result whose lists are sent in parts."""
SHORT: Final = 200
"""Characters of an error that is too long otherwise."""


class Conversation:
    """The connection of one client. One thread takes requests and replies; any thread posts events.

    say       logs a line about the client
    requests  that came
    errors    replies that say so
    """

    def __init__(self, channel: Channel, peer: Peer, say: Callable[[str], None]) -> None:
        self.channel = channel
        self.requests = self.errors = 0
        self._peer = peer
        self._say = say

    def request(self, timeout: float | None = None) -> tuple[int, dict[str, Any]] | None:
        """The number of the next request, and what is asked for; None when there are to be no more: the connection or
        the process has ended, the time is over, or what came was no message."""
        if not self._wait(timeout):
            return None
        try:
            received = self.channel.receive()
            if received is None:
                return None
            message, _ = received
            number = message.pop("id", None)
            if type(number) is not int or not 0 <= number <= MAX_ID:
                raise UsageError(f"a request has an `id` from 0 to 2^53, not {quoted(number)}")
        except PfqError as error:
            self.channel.send({"id": None, "error": to_record(error)}, timeout=0)
            self.errors += 1
            self._say(f"sent what is no message: {error.message}")
            return None
        self.requests += 1
        return number, message

    def _wait(self, timeout: float | None) -> bool:
        """Waits for a message; False when the process has ended, or nothing came in time."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN | select.POLLRDHUP)
        poll.register(self._peer.pidfd, select.POLLIN)
        ready = dict(poll.poll(None if timeout is None else timeout * 1000))
        return bool(ready) and self._peer.pidfd not in ready

    def reply(self, number: int, answer: Answer, timeout: float) -> None:
        """Sends a result, with its descriptors, in as many parts as it takes.

        timeout  seconds that each may take when the client does not read
        """
        result, descriptors = dict(answer.result), list(answer.descriptors)
        while len(descriptors) > DESCRIPTORS_AT_ONCE:
            self._send({"id": number, "more": True}, timeout, descriptors[:DESCRIPTORS_AT_ONCE])
            del descriptors[:DESCRIPTORS_AT_ONCE]
        for part in parts(result):
            self._send({"id": number, "more": True, "result": part}, timeout)
        self._send({"id": number, "result": result}, timeout, descriptors)

    def refuse(self, number: int, error: PfqError, timeout: float) -> None:
        """Sends an error, without what makes it too long."""
        self.errors += 1
        record = to_record(error)
        try:
            encode(record)
        except UsageError:
            record = {"code": error.code, "message": error.message[:SHORT], "errno": record["errno"]}
        self._send({"id": number, "error": record}, timeout)

    def _send(self, message: Mapping[str, Any], timeout: float, descriptors: Sequence[int] = ()) -> None:
        self.channel.send(message, descriptors, timeout)

    def post(self, event: Mapping[str, Any]) -> None:
        """Sends an event. Never waits: who does not read is disconnected."""
        try:
            self.channel.send(event, timeout=0)
        except TimeoutError:
            self._say("does not read, and is disconnected")
            self.channel.hang_up()
        except OSError:
            pass  # the client is gone, or its thread has just closed the connection


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
