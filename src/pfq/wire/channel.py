"""A connection between pfqd and a client: messages, and descriptors that go with them."""

from __future__ import annotations

import array
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from pfq.errors import DaemonMissingError, LimitError, UsageError
from pfq.wire.messages import MESSAGE_BYTES, decode, encode

MAX_DESCRIPTORS: Final = 253
"""In one packet, says the kernel (SCM_MAX_FD)."""

CONNECT_SECONDS: Final = 1.0

_FD_BYTES = array.array("i").itemsize
_ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS * _FD_BYTES) + socket.CMSG_SPACE(64)


class Channel:
    """One end of a connection. One thread receives; any thread may send.

    socket       connected, SOCK_SEQPACKET; the channel's own from now on
    descriptors  at most so many are taken with a message; 0 for who wants none
    sent, received  bytes of messages so far
    """

    def __init__(self, connected: socket.socket, descriptors: int = MAX_DESCRIPTORS) -> None:
        connected.setblocking(True)  # waiting is done by poll, so that each call has its own time limit
        self.socket = connected
        self._descriptors = descriptors
        self.sent = self.received = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = (), timeout: float | None = None) -> None:
        """Sends a message; the descriptors stay the caller's.

        timeout  seconds to wait for room when the other side does not read; None: without limit, 0: not at all
        Raises UsageError for what is no message, TimeoutError, and ConnectionError when the other side is gone.
        """
        data = encode(message)
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.socket.sendmsg([data], extra, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if not self._wait(select.POLLOUT, end):
                    raise TimeoutError("the other side does not read") from None
            else:
                self.sent += len(data)
                return

    def receive(self, timeout: float | None = None) -> tuple[dict[str, Any], list[int]] | None:
        """The next message, with its descriptors, which are the caller's to close; None when the other side has closed.

        timeout  seconds to wait; None: without limit
        Raises TimeoutError, UsageError for what is no message or has descriptors that nobody wants, LimitError when
        this process has no room for descriptors that were sent, ConnectionError.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                data, extra, flags, _ = self._receive()
                break
            except BlockingIOError:
                if not self._wait(select.POLLIN, end):
                    raise TimeoutError("no message came in time") from None
        descriptors = _taken(extra)
        try:
            self._check(data, len(descriptors), flags)
            if not data and not descriptors and self._ended():
                return None
            self.received += len(data)
            return decode(data), descriptors
        except BaseException:
            for each in descriptors:
                os.close(each)
            raise

    def _receive(self) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        try:
            return self.socket.recvmsg(MESSAGE_BYTES + 1, _ROOM, flags)
        except ConnectionResetError:
            # The other side closed without reading what we sent. What it said before comes after this.
            return self.socket.recvmsg(MESSAGE_BYTES + 1, _ROOM, flags)

    def _check(self, data: bytes, descriptors: int, flags: int) -> None:
        if flags & socket.MSG_CTRUNC:
            raise LimitError(
                "descriptors that were sent got lost: this process has too many open",
                hint="raise the limit of open files (ulimit -n)",
            )
        if descriptors > self._descriptors:
            raise UsageError(f"{descriptors} descriptors came, but at most {self._descriptors} are taken")
        if flags & socket.MSG_TRUNC:
            raise UsageError(f"this is no message: it has more than {MESSAGE_BYTES} bytes")

    def _ended(self) -> bool:
        """The other side has closed; otherwise it has sent an empty packet."""
        ready = self._poll(select.POLLRDHUP, 0)
        return bool(ready & (select.POLLRDHUP | select.POLLHUP))

    def _wait(self, event: int, end: float | None) -> bool:
        """Waits until it is ready, or failed; False when the time is over."""
        left = -1 if end is None else end - time.monotonic()
        if end is not None and left <= 0:
            return False
        return bool(self._poll(event, left)) or end is None or time.monotonic() < end

    def _poll(self, event: int, seconds: float) -> int:
        poll = select.poll()
        poll.register(self.socket, event)
        ready = poll.poll(None if seconds < 0 else max(1, int(seconds * 1000)) if seconds else 0)
        return ready[0][1] if ready else 0

    def hang_up(self) -> None:
        """Ends the connection for both sides: every thread that waits on it goes on. Again is harmless."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Gives the descriptor back. Again is harmless."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _taken(extra: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a message."""
    found = array.array("i")
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % _FD_BYTES])
    return list(found)


def connect(path: str | os.PathLike[str]) -> Channel:
    """A connection to the daemon whose socket this is; raises DaemonMissingError, LimitError."""
    try:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise LimitError(f"cannot make a socket: {error.strerror}", hint="raise the limit of open files") from None
    try:
        connected.settimeout(CONNECT_SECONDS)  # a daemon that is stopped does not accept
        connected.connect(os.fspath(path))
    except OSError as error:
        connected.close()
        raise _not_there(str(path), error) from None
    return Channel(connected)


def _not_there(path: str, error: OSError) -> DaemonMissingError:
    match error:
        case FileNotFoundError():
            return DaemonMissingError(
                f"there is no pfqd: {path} does not exist",
                hint="start it (systemctl start pfqd), or say where it is by the variable PFQ_SOCKET",
            )
        case ConnectionRefusedError():
            return DaemonMissingError(
                f"nobody listens at {path}; pfqd has ended", hint="start it again: systemctl start pfqd"
            )
        case PermissionError():
            return DaemonMissingError(
                f"you may not connect to pfqd at {path}",
                hint="its configuration says who may: [daemon] group, and [[rights]]",
            )
        case _:
            return DaemonMissingError(f"cannot connect to pfqd at {path}: {error.strerror or error}")
