"""`pfqd --stop`: everything is taken down, with a running daemon or without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from pfq.daemon.asking import Asking
from pfq.daemon.config.reading import DaemonSettings
from pfq.daemon.listening import Running
from pfq.engine.store import Store
from pfq.errors import DaemonGoneError

ANSWER_S: Final = 10.0
END_S: Final = 60.0
"""Taking many groups down takes a while."""
LOOK_AGAIN_S: Final = 0.02
_SOCKETS: Final = Path("/proc/net/unix")
_ACCEPTS: Final = 0x10000


def stop(settings: DaemonSettings) -> str:
    """Takes the data path down, and waits until it is gone. Returns what was done, as a sentence; raises PfqError."""
    with Running(settings.state) as running:
        was_running = not running.take()
        if was_running:
            with Asking(settings.socket, ANSWER_S) as asking:
                asking.ask("stop")
            _wait(running)
        Store(settings.pins, settings.state_file).remove()
        if not _is_listened_to(settings.socket):
            settings.socket.unlink(missing_ok=True)
    if was_running:
        return "pfqd has ended, and everything is taken down"
    return "no pfqd was running; what one may have left is taken down"


def _is_listened_to(socket: Path) -> bool:
    """Whether a process accepts clients there, as systemd does for the next pfqd; asking it would start that one."""
    for line in _SOCKETS.read_text(errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == str(socket) and int(fields[3], 16) & _ACCEPTS:
            return True
    return False


def _wait(running: Running) -> None:
    """Until the daemon has given up the right to run."""
    end = time.monotonic() + END_S
    while not running.take():
        if time.monotonic() > end:
            raise DaemonGoneError(
                f"pfqd was told to stop {END_S:.0f} s ago, but goes on: {running.refusal().message}",
                hint="end it by `kill -9`, then call `pfqd --stop` again",
            )
        time.sleep(LOOK_AGAIN_S)
