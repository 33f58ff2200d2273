"""The connection to the daemon: calls from any thread, one thread that listens.

    connect ──► hello ──► listen: replies, events ──► stopped by the daemon, or closed: the end
       ▲                     │
       └────── pause ◄── lost


A connection that is lost is not the end of packets: the kernel goes on filling the rings. The thread goes on until
somebody answers, then takes the session up again. Calls wait for that, but not for ever.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from copy import copy
from typing import Any, Final

import pfq
from pfq.client import lives
from pfq.client.calls import Call, Reply, closed
from pfq.client.place import Place
from pfq.client.session import Session
from pfq.errors import (
    DaemonGoneError,
    DaemonMissingError,
    InternalError,
    LimitError,
    PfqError,
    RingClosedError,
    UsageError,
    VersionError,
)
from pfq.wire.channel import Channel, connect
from pfq.wire.faults import from_record
from pfq.wire.messages import VERSION

PATIENCE_S: Final = 5.0
"""How long calls wait for a daemon that is away."""
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 1.0


class Connection:
    """A session with the daemon, and the thread that keeps it up."""

    def __init__(self, path: str) -> None:
        """Raises DaemonMissingError, VersionError, or what else the daemon answers to hello."""
        self.path = path
        self.session = Session()
        self._sending = threading.Lock()
        self._channel: Channel | None = connect(path)
        self._lost_at = 0.0
        self._pause = FIRST_PAUSE_S
        self._owner = os.getpid()
        self._stopping = False
        self._knob_read, self._knob = lives.knob()
        self._say_hello(self._channel)
        self._thread = threading.Thread(target=self._run, name="pfq client", daemon=True)
        lives.add(self)
        self._thread.start()
        self._wait_for_greeting()

    def _wait_for_greeting(self) -> None:
        state = self.session
        with state.changed:
            state.changed.wait_for(lambda: state.channel is not None or state.end is not None, PATIENCE_S)
            if state.channel is not None:
                return
            end = state.end or DaemonGoneError(f"pfqd at `{self.path}` does not answer")
        self.close()
        raise end

    # calls

    def call(self, name: str, /, **arguments: Any) -> Reply:
        """What the daemon answers; its errors are raised. Makes the call again when the daemon died over it.

        Raises DaemonGoneError when the daemon is away for too long, or has forgotten the session.
        """
        if not self._ours:
            raise UsageError("this connection to pfqd belongs to the parent process", hint="connect in this one, too")
        made = self.session.ask(name, arguments)
        try:
            while (channel := self._next_step(made)) is not None:
                with suppress(OSError):  # the thread sees the same, and the call waits for its next connection
                    self._send(channel, made)
            return made.taken()
        finally:
            self.session.settle(made)

    def _send(self, channel: Channel, made: Call) -> None:
        with self._sending:
            channel.send(made.request)

    def _next_step(self, made: Call) -> Channel | None:
        """Waits until the call is answered, or is to be sent (again)."""
        begun, state = time.monotonic(), self.session
        with state.changed:
            while not made.done:
                if state.end is not None:
                    raise copy(state.end)
                if state.channel is not None and made.sent_on is not state.channel:
                    made.sent_on = state.channel
                    return state.channel
                left = None
                if state.channel is None:
                    left = max(begun, self._lost_at) + PATIENCE_S - time.monotonic()
                    if left <= 0:
                        raise DaemonGoneError(
                            f"pfqd at `{self.path}` has been away for over {PATIENCE_S:.0f} seconds",
                            hint="packets still come; the call can be made again once it is back",
                        )
                state.changed.wait(left)
        return None

    def drop(self, place: Place) -> bool:
        """Forgets an end-point; False: the daemon need not be told, or is told once it is back."""
        return self._ours and self.session.drop(place)

    @property
    def _ours(self) -> bool:
        return os.getpid() == self._owner

    # the thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except PfqError as error:
                self._finish(error)
            except Exception as error:
                self._finish(InternalError(f"the thread of a client failed: {type(error).__name__}: {error}"))
        self._finish(RingClosedError("the connection to pfqd was closed", hint="make another one"))
        self._knob_read.close()
        self.session.close_readers()

    def _step(self) -> None:
        if self.session.end is not None:  # nothing to do but to close the readers once nobody wants them
            lives.wait(self._knob_read)
        elif self._channel is None:
            self._dial_again()
        elif lives.wait(self._knob_read, self._channel) is self._channel:
            self._listen(self._channel)

    def _dial_again(self) -> None:
        if lives.wait(self._knob_read, seconds=self._pause) is not None:
            return
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        with suppress(PfqError):  # those who call are told when they have waited long enough
            self._channel = connect(self.path)
            self._say_hello(self._channel)

    def _say_hello(self, channel: Channel) -> None:
        request = {"id": 0, "call": "hello", "version": VERSION, "client": f"Python {pfq.__version__}"}
        if token := self.session.greeting.get("token"):
            request["resume"] = token
        with suppress(OSError):  # closed at once; what it sent before is still to be read
            channel.send(request)

    def _listen(self, channel: Channel) -> None:
        try:
            received = channel.receive()
        except LimitError as error:
            self.session.no_room(error)
            return
        except OSError:
            received = None
        if received is None:
            self._lose(channel)
            return
        message, descriptors = received
        if "id" in message and self.session.channel is channel:
            self.session.answer(message, descriptors)
            return
        closed(descriptors)
        if "event" in message:
            self.session.hear(message)
        elif "error" in message:
            self._refused(channel, from_record(message["error"]))
        else:
            self._greet(channel, message["result"])

    def _refused(self, channel: Channel, error: PfqError) -> None:
        """Hello was answered with an error. A successor that is short of something may have it later."""
        if isinstance(error, VersionError) or not self.session.greeting:
            raise error
        self._lose(channel)

    def _greet(self, channel: Channel, greeting: dict[str, Any]) -> None:
        self._pause = FIRST_PAUSE_S
        for number in self.session.greet(channel, greeting):
            # Its number never reached us, or it was closed while the daemon was away.
            made = self.session.ask("endpoint.close", {"endpoint": number})
            self.session.settle(made)
            with suppress(OSError):  # lost again: the next greeting lists it again
                self._send(channel, made)

    def _lose(self, channel: Channel) -> None:
        with self.session.changed:
            if self.session.channel is not None:
                self._lost_at = time.monotonic()
            self._channel = self.session.channel = None
            self.session.changed.notify_all()
        channel.close()
        if not self.session.greeting:
            raise DaemonMissingError(
                f"pfqd at {self.path} closed the connection at once", hint="its log says why: journalctl -u pfqd"
            )

    def _finish(self, why: PfqError) -> None:
        self.session.finish(why)
        if self._channel is not None:
            self._channel.close()

    # the end

    def end(self) -> None:
        """Has the thread end, without waiting for it and without a lock: this runs when garbage is collected."""
        self._stopping = True
        self._knob.close()

    def close(self) -> None:
        """Ends the session; the daemon closes its end-points. Again is harmless."""
        if self._ours:
            self.end()
            self._thread.join()

    def forget(self) -> None:
        """In a forked child: gives up its copies of the descriptors, so that the session ends with the parent."""
        for each in (self._channel, self._knob_read, self._knob):
            if each is not None:
                each.close()
