"""What the main thread of pfqd is woken for: signals, files that changed, and clients that want it to stop."""

from __future__ import annotations

import os
import select
import signal
from enum import Enum
from typing import Final

from pfq.daemon.watching import Files

SETTLE_S: Final = 0.2
"""Files that are written in several steps are read once these are done."""


class Wish(Enum):
    """What is to be done."""

    RELOAD = "reload"
    """SIGHUP, or files have changed"""
    END = "end"
    """SIGTERM or SIGINT: whoever still gets packets goes on"""
    STOP = "stop"
    """`pfqd --stop`: everything is taken down"""


_STOP_BYTE: Final = 255
_BYTES: Final = {
    signal.SIGHUP: Wish.RELOAD,
    signal.SIGTERM: Wish.END,
    signal.SIGINT: Wish.END,
    _STOP_BYTE: Wish.STOP,
}


class Wishes:
    """Collects them; to be made, used and closed by the main thread."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        self._poll.register(files.fileno(), select.POLLIN)
        self._before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor tells

    def stop(self) -> None:
        """Wishes STOP, from any thread."""
        os.write(self._writing, bytes([_STOP_BYTE]))

    def next(self) -> Wish:
        """Waits for the next one. Of several at once the one that ends more is first."""
        changed = False
        while True:
            ready = {fd for fd, _ in self._poll.poll(SETTLE_S * 1000 if changed else None)}
            found = [_BYTES[each] for each in os.read(self._reading, 4096)] if self._reading in ready else []
            for wish in (Wish.STOP, Wish.END, Wish.RELOAD):
                if wish in found:
                    return wish
            if self._files.fileno() in ready:
                changed = bool(self._files.changed()) or changed
            elif changed:
                return Wish.RELOAD

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._reading)
        os.close(self._writing)
