"""The configuration of pfqd: from TOML to checked values, or all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pfq.daemon.access import Rule
from pfq.daemon.config.groups import ManagedGroup, read_groups
from pfq.daemon.config.rights import Kind, account_number, read_limits, read_rights
from pfq.daemon.config.text import Text, parsed, refused
from pfq.daemon.config.values import Faults, Section
from pfq.daemon.limits import Limits
from pfq.errors import UsageError

USUAL_PATH: Final = Path("/etc/pfq/pfqd.toml")

LogForm = Literal["text", "json"]
LOG_FORMS: Final = ("text", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LONGEST_SOCKET: Final = 100
"""Bytes of a socket's path; the kernel takes 107, and the socket is made under a longer name first."""
_METRICS: Final = re.compile(r"unix:/.+|(\[[0-9a-fA-F:.]+\]|[^:\s\[\]/]+):([0-9]{1,5})")
_TABLES: Final = {"daemon": "[daemon]", "limits": "[limits]", "rights": "[[rights]]", "group": "[[group]]"}


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """What the process is; changes need another start.

    socket   where clients connect
    state    directory of what the next pfqd takes over, and of the lock that lets only one run
    pins     directory in a bpffs that keeps programs and maps alive
    user     whose rights the process keeps; None: those of who starts it
    group    whose users may connect; None: only root and `user`
    metrics  where Prometheus finds the metrics: `ADDRESS:PORT` or `unix:PATH`; None: nowhere
    """

    socket: Path = Path("/run/pfq/pfqd.sock")
    state: Path = Path("/run/pfq")
    pins: Path = Path("/sys/fs/bpf/pfq")
    user: str | None = None
    group: str | None = None
    metrics: str | None = None
    log: LogForm = "text"
    log_level: str = "info"

    @property
    def state_file(self) -> Path:
        """What the next pfqd has to know."""
        return self.state / "engine.json"


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration without faults.

    path  its file; None for the built-in defaults
    """

    path: Path | None = None
    daemon: DaemonSettings = DaemonSettings()
    limits: Limits = field(default_factory=Limits)
    rights: tuple[Rule, ...] = ()
    groups: tuple[ManagedGroup, ...] = ()

    def files(self) -> list[Path]:
        """The files that it was read from."""
        return [path for path in (self.path, *(group.file for group in self.groups)) if path is not None]


def read(path: Path) -> Config:
    """The configuration in a file; raises FileAccessError, or ConfigErrors with all its faults."""
    text = parsed(path)
    faults, values = text.faults, text.values
    whole = Section(faults, values, (), "the configuration")
    for key in _TABLES:
        whole.raw(key)
    whole.end()
    folder = path.parent
    found = Config(
        path,
        _daemon(faults, _table(text, "daemon"), folder),
        read_limits(faults, _table(text, "limits")),
        tuple(read_rights(faults, _tables(text, "rights"))),
        tuple(read_groups(faults, _tables(text, "group"), folder)),
    )
    if faults.found:
        raise refused(path, faults.found)
    return found


def read_daemon(path: Path) -> DaemonSettings:
    """The settings of the process, in a configuration whose other parts may have faults."""
    text = parsed(path)
    found = _daemon(text.faults, _table(text, "daemon"), path.parent)
    if text.faults.found:
        raise refused(path, text.faults.found)
    return found


def _table(text: Text, key: str) -> Mapping[str, Any]:
    values = text.values.get(key, {})
    if isinstance(values, dict):
        return values
    text.faults.add(f"`{key}` is a table", (key,), f"begin it with a line {_TABLES[key]}", key=True)
    return {}


def _tables(text: Text, key: str) -> list[Any]:
    values = text.values.get(key, [])
    if isinstance(values, list) and all(isinstance(each, dict) for each in values):
        return values
    text.faults.add(f"there can be several `{key}`, each a table", (key,), f"begin each with {_TABLES[key]}", key=True)
    return []


def _daemon(faults: Faults, values: Mapping[str, Any], folder: Path) -> DaemonSettings:
    section = Section(faults, values, ("daemon",), "[daemon]")
    usual = DaemonSettings()
    found = DaemonSettings(
        _path(section, "socket", usual.socket, folder),
        _path(section, "state", usual.state, folder),
        _path(section, "pins", usual.pins, folder),
        _account(section, "user"),
        _account(section, "group"),
        section.text("metrics"),
        section.choice("log", LOG_FORMS, usual.log),
        section.choice("log_level", LOG_LEVELS, usual.log_level),
    )
    section.end()
    if len(bytes(found.socket)) > LONGEST_SOCKET:
        section.fault("socket", f"the path of a socket has at most {LONGEST_SOCKET} bytes", "take a shorter one")
    if found.metrics is not None:
        parts = _METRICS.fullmatch(found.metrics)
        if parts is None or (parts[2] and not 0 < int(parts[2]) < 1 << 16):
            hint = "an address with a port, 127.0.0.1:9812, or a socket, unix:/run/pfq/metrics.sock"
            section.fault("metrics", f"`{found.metrics}` is no address for metrics", hint)
    return found


def _path(section: Section, key: str, usual: Path, folder: Path) -> Path:
    found = section.text(key)
    if found == "" or (found and "\0" in found):
        section.fault(key, f"`{key}` is the path of a file")
        return usual
    return usual if found is None else (folder / found).absolute()


def _account(section: Section, kind: Kind) -> str | None:
    """The name of a user or a group of this machine."""
    name: str | None = section.text(kind)
    if name is not None:
        try:
            account_number(kind, name)
        except UsageError as error:
            section.fault(kind, error.message, error.hint)
    return name
