"""What pfqd tells systemd, and takes from it: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

from pfq.errors import UsageError

FIRST_PASSED: Final = 3
"""The first descriptor that systemd passes."""


class Notifier:
    """Tells systemd how the service is; silent when it did not start this process."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        mine = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_s = int(microseconds) / 1e6 if microseconds.isdecimal() and mine else None
        self._socket: socket.socket | None = None
        if self._address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        """Nobody waits for this: when systemd does not take it, the service goes on all the same."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(text.encode(), self._address.replace("@", "\0", 1))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def passed_listener(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd listens with for us, when there is one; raises UsageError when it is of another kind."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count in ("", "0"):
        return None
    found = socket.socket(fileno=FIRST_PASSED)
    os.set_inheritable(FIRST_PASSED, False)
    kind = (found.family, found.type, bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))
    if kind != (socket.AF_UNIX, socket.SOCK_SEQPACKET, True) or count != "1":
        raise UsageError(
            "systemd passes something else than one socket for pfqd",
            hint="its socket unit has one line ListenSequentialPacket=/run/pfq/pfqd.sock",
        )
    return found
