"""Connections that are alive: waiting for news of them, ending them at exit, giving them up in forked children."""

from __future__ import annotations

import atexit
import io
import os
import select
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from pfq.client.connection import Connection
    from pfq.wire.channel import Channel

_alive: WeakSet[Connection] = WeakSet()


def add(connection: Connection) -> None:
    """A thread listens for it from now on."""
    _alive.add(connection)


def knob() -> tuple[io.FileIO, io.FileIO]:
    """A pipe; closing its second end wakes who waits at the first. Closing needs no lock, and may be repeated."""
    reading, writing = os.pipe()
    return io.FileIO(reading, "r"), io.FileIO(writing, "w")


def wait(knob: io.FileIO, channel: Channel | None = None, seconds: float | None = None) -> io.FileIO | Channel | None:
    """Which of them is ready, the knob first; None: the time is over. Without a time it waits without limit."""
    poll = select.poll()
    for each in (knob, channel):
        if each is not None:
            poll.register(each.fileno(), select.POLLIN)
    ready = {number for number, _ in poll.poll(None if seconds is None else seconds * 1000)}
    if knob.fileno() in ready:
        return knob
    return channel if ready else None


def _close_all() -> None:
    for connection in list(_alive):
        connection.close()


def _forget_all() -> None:
    for connection in list(_alive):
        connection.forget()
    _alive.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
