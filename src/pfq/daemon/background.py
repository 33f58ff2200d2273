"""Going to the background: the process that was started ends once the daemon is ready, and says how it went."""

from __future__ import annotations

import os
from typing import Final

from pfq.errors import BUG_STATUS

READY: Final = 0


class Background:
    """The daemon's end of a pipe on which the process that was started waits."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, status: int) -> None:
        """It is ready (0), or has failed with an exit status. Only the first time counts."""
        if self._pipe < 0:
            return
        os.write(self._pipe, bytes([status]))
        os.close(self._pipe)
        self._pipe = -1
        if status == READY:
            _leave_terminal()


def detach() -> Background:
    """Goes on in a process without a terminal; the one that was started never returns from here.

    To be called before there is any thread.
    """
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        os.waitpid(child, 0)
        told = os.read(reading, 1)
        os._exit(told[0] if told else BUG_STATUS)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(reading)
    os.chdir("/")
    return Background(writing)


def _leave_terminal() -> None:
    """Standard input and output go nowhere from now on; standard error does when it is a terminal."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        if number < 2 or os.isatty(number):
            os.dup2(nowhere, number)
    os.close(nowhere)
