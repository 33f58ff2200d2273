"""The process: opens everything, gives up its rights, serves until it is told to end."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pfq
from pfq.daemon import metrics
from pfq.daemon.access import Access
from pfq.daemon.background import READY, Background
from pfq.daemon.compiling.workers import WorkerCompiler
from pfq.daemon.config.reading import Config, DaemonSettings
from pfq.daemon.config.rights import account_number
from pfq.daemon.confinement import privileges
from pfq.daemon.listening import Listener, Running, private_folder
from pfq.daemon.managed import TAG, Managed, Returning
from pfq.daemon.notify import Notifier, passed_listener
from pfq.daemon.reloading import Reloading, summary
from pfq.daemon.service import Hooks, Service
from pfq.daemon.watchdog import Watchdog
from pfq.daemon.watching import Files
from pfq.daemon.wishes import Wish, Wishes
from pfq.engine.engine import Engine
from pfq.engine.store import Store
from pfq.errors import MachineError, PfqError
from pfq.kernel.privilege import require_privilege
from pfq.lang import libpcap

log = logging.getLogger(__name__)

UNIX: Final = "unix:"


def serve(config: Config, background: Background | None) -> None:
    """Runs until it is told to end; raises PfqError when it cannot start. To be called in the main thread."""
    require_privilege()
    notifier = Notifier(os.environ)
    with ExitStack() as undo:
        undo.callback(notifier.close)
        daemon = Daemon(config, notifier, undo)
        daemon.start()
        log.info("pfqd %s serves at %s: %s", pfq.__version__, config.daemon.socket, summary(config))
        notifier.ready(summary(config))
        if background is not None:
            background.tell(READY)
        daemon.run()


class Daemon:
    """A running pfqd. What it opens is given back by `undo`, last opened first."""

    def __init__(self, config: Config, notifier: Notifier, undo: ExitStack) -> None:
        self._config = config
        self._notifier = notifier
        self._undo = undo
        self._everything = False

    def start(self) -> None:
        """Opens everything. There is one thread until all rights are given up that are not needed any more."""
        settings, undo = self._config.daemon, self._undo
        running = undo.enter_context(Running(settings.state))
        if not running.take():
            raise running.refusal()
        listener = self._listen()
        measured = self._listen_for_metrics()
        self._files = Files()
        undo.callback(self._files.close)
        self._wishes = Wishes(self._files)
        undo.callback(self._wishes.close)
        with suppress(MachineError):
            libpcap.compiled("ip")  # loads it: later no other program can be run, and looking for it takes one
        store = Store(settings.pins, settings.state_file)
        self._hand_over(settings)
        compiler = WorkerCompiler(settings.user)
        undo.callback(compiler.close)
        writable = {settings.state, settings.pins, settings.socket.parent, *_folder_of(settings.metrics)}
        log.info("%s", privileges.drop(settings.user, sorted(writable)))
        self._open_engine(store, compiler)
        hooks = Hooks(reload=lambda: self._reloading.reload(), stop=self._wishes.stop, status=self._status)
        self._service = Service(self._engine, Access(self._config.rights), self._config.limits, hooks=hooks)
        self._reloading = Reloading(self._config, self._managed, self._service, self._files, self._notifier)
        self._files.watch(self._config.files())
        self._serve(listener, measured)

    def _listen(self) -> socket.socket:
        """The socket for clients: systemd's, or one of ours."""
        settings = self._config.daemon
        if (passed := passed_listener(os.environ)) is not None:
            self._undo.callback(passed.close)
            return passed
        user = os.geteuid() if settings.user is None else account_number("user", settings.user)
        group = None if settings.group is None else account_number("group", settings.group)
        made = Listener(settings.socket, user, group)
        self._undo.callback(made.close)
        return made.socket

    def _listen_for_metrics(self) -> socket.socket | None:
        address = self._config.daemon.metrics
        if address is None:
            return None
        for folder in _folder_of(address):
            private_folder(folder)
            self._undo.callback(Path(address.removeprefix(UNIX)).unlink, missing_ok=True)
        made = metrics.listener(address)
        self._undo.callback(made.close)
        return made

    def _hand_over(self, settings: DaemonSettings) -> None:
        """Directories, and what is in them of ours, to the user whom the process becomes."""
        if settings.user is None:
            return
        user = account_number("user", settings.user)
        ours = [
            *settings.state.glob(f"{settings.state_file.name}*"),
            *settings.state.glob(f"{settings.state_file.name}*/*"),
        ]
        for path in (settings.state, settings.pins, *settings.pins.iterdir(), *ours):
            os.chown(path, user, -1, follow_symlinks=False)

    def _open_engine(self, store: Store, compiler: WorkerCompiler) -> None:
        """The engine, with the groups of the configuration. When these fail, it is left as it was found."""
        self._engine = Engine(store=store, compiler=compiler)
        if self._engine.adopted:
            log.info("took over %d groups and %d end-points", len(self._engine.groups), len(self._engine.endpoints))
        self._managed = Managed(self._engine)
        try:
            for text in self._managed.apply(self._config):
                log.info("%s", text)
        except BaseException:
            self._engine.close(keep=self._engine.adopted)
            raise
        self._undo.callback(self._close_engine)
        returning = Returning(self._managed)
        self._undo.callback(returning.close)

    def _serve(self, listener: socket.socket, measured: socket.socket | None) -> None:
        """Starts the threads that answer."""
        thread = threading.Thread(target=self._service.serve, args=(listener,), name="pfqd service", daemon=True)
        thread.start()
        self._undo.callback(thread.join)
        self._undo.callback(lambda: self._service.stop(goodbye=self._everything))
        if measured is not None:
            scrapes = metrics.serve(measured, self._engine, self._service)
            self._undo.callback(scrapes.join)
            self._undo.callback(measured.shutdown, socket.SHUT_RDWR)
        watchdog = Watchdog(self._notifier, self._config.daemon.socket)
        self._undo.callback(watchdog.close)

    def run(self) -> None:
        """Does what it is told, until that is to end."""
        while True:
            match self._wishes.next():
                case Wish.RELOAD:
                    with suppress(PfqError):  # it is logged, and what was running goes on
                        self._reloading.reload()
                case Wish.STOP:
                    self._everything = True
                    break
                case Wish.END:
                    break
        self._notifier.stopping()
        if not self._everything:
            # One without groups gets no packets; it may be closing at this moment.
            theirs = [each for each in self._engine.endpoints.values() if each.tag != TAG and each.groups]
            self._everything = not theirs
            if theirs:
                log.info("%d end-points of clients go on getting packets; the next pfqd takes over", len(theirs))

    def _close_engine(self) -> None:
        self._engine.close(keep=not self._everything)
        log.info("pfqd has ended%s", ", and everything is taken down" if self._everything else "")

    def _status(self) -> dict[str, Any]:
        """What clients can know of the process."""
        config = self._reloading.config
        return {
            "config": None if config.path is None else str(config.path),
            "reload": self._reloading.last,
            "waiting": list(self._managed.waiting),
            "adopted": self._engine.adopted,
        }


def _folder_of(metrics: str | None) -> list[Path]:
    """Where the socket of the metrics is, when it is one."""
    return [Path(metrics.removeprefix(UNIX)).parent] if metrics and metrics.startswith(UNIX) else []
