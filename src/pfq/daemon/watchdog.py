"""Tells systemd that the service answers, for as long as it does."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from pfq.daemon.asking import Asking
from pfq.daemon.notify import Notifier
from pfq.errors import PfqError

log = logging.getLogger(__name__)


class Watchdog:
    """Asks the service as a client does, at half of the time that systemd waits.

    Silence makes systemd kill the process and start another one, which takes over.
    """

    def __init__(self, notifier: Notifier, socket: Path) -> None:
        self._notifier = notifier
        self._socket = socket
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        if notifier.watchdog_s is not None:
            self._period_s = notifier.watchdog_s / 2
            self._thread = threading.Thread(target=self._watch, name="pfqd watchdog", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                with Asking(self._socket, self._period_s) as asking:
                    asking.ask("status")
                self._notifier.alive()
            except PfqError as error:
                if not self._ending.is_set():
                    log.error("pfqd cannot reach itself: %s", error.message)
            if self._ending.wait(self._period_s):
                return

    def close(self) -> None:
        """Ends it, once it has its answer."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
