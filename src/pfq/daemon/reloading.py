"""Reading the configuration again while the daemon runs."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from pfq.daemon import logs
from pfq.daemon.access import Access
from pfq.daemon.config.reading import Config, DaemonSettings, read
from pfq.daemon.managed import Managed
from pfq.daemon.notify import Notifier
from pfq.daemon.service import Service
from pfq.daemon.watching import Files
from pfq.errors import ConfigErrors, PfqError

log = logging.getLogger(__name__)


class Reloading:
    """Makes the daemon what its configuration says now, or tells why not. Any thread may call it.

    config  the one that is in force
    last    what the last reload did, for `status`
    """

    def __init__(self, config: Config, managed: Managed, service: Service, files: Files, notifier: Notifier) -> None:
        self.config = config
        self.last: dict[str, Any] = {}
        self._managed = managed
        self._service = service
        self._files = files
        self._notifier = notifier
        self._lock = threading.Lock()

    def reload(self) -> dict[str, Any]:
        """Says what was changed; raises PfqError when nothing was, because the new configuration cannot be used."""
        with self._lock:
            self._notifier.reloading()
            when = round(time.time(), 3)
            try:
                changed = self._apply()
            except PfqError as error:
                self.last = {"time": when, "ok": False, "error": error.message}
                _tell(error)
                self._files.watch([*self.config.files(), *_concerned(error)])
                self._notifier.ready(f"the old configuration is still in force: {error.message}")
                raise
            self.last = {"time": when, "ok": True, "changed": changed}
            log.info("the configuration was read again: %s", "; ".join(changed) or "nothing has changed")
            self._notifier.ready(summary(self.config))
            return {"changed": changed}

    def _apply(self) -> list[str]:
        if self.config.path is None:
            return []
        config = read(self.config.path)
        self._files.watch(config.files())
        changed = self._managed.apply(config)
        if config.rights != self.config.rights:
            self._service.access = Access(config.rights)
            changed.append("rights are others")
        if config.limits != self.config.limits:
            self._service.limits = config.limits
            changed.append("limits are others")
        logs.set_level(config.daemon.log_level)
        for name in _unchangeable(self.config.daemon, config.daemon):
            log.warning("`%s` of [daemon] was changed, which needs another start of pfqd", name)
        self.config = config
        return changed


def _unchangeable(before: DaemonSettings, after: DaemonSettings) -> list[str]:
    names = [each.name for each in fields(DaemonSettings) if each.name != "log_level"]
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _concerned(error: PfqError) -> list[Path]:
    """The files that have to change before the new configuration can be used."""
    faults = error.faults if isinstance(error, ConfigErrors) else (error,)
    return [Path(fault.span.source.name) for fault in faults if fault.span is not None]


def _tell(error: PfqError) -> None:
    log.error("the configuration was not applied, and the old one goes on: %s", logs.one_line(error))
    if isinstance(error, ConfigErrors):
        for fault in error.faults:
            log.error("%s", logs.one_line(fault))


def summary(config: Config) -> str:
    """The configuration in a few words."""
    numbers = ", ".join(str(group.number) for group in config.groups)
    return f"groups of the configuration: {numbers}" if numbers else "no groups in the configuration"
