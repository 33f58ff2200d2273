"""The engine's interface through pfqd: unprivileged, and shared with other processes."""

from __future__ import annotations

import os
from typing import Final

from pfq.client.engine import RemoteEngine

SOCKET: Final = "/run/pfq/pfqd.sock"
VARIABLE: Final = "PFQ_SOCKET"


def connect(path: str | os.PathLike[str] | None = None) -> RemoteEngine:
    """An engine that pfqd runs, for any user that its configuration lets in.

    path  of the daemon's socket; None: what the variable PFQ_SOCKET says, or /run/pfq/pfqd.sock
    Raises DaemonMissingError when nobody answers there, VersionError when the daemon speaks another protocol.
    """
    return RemoteEngine(os.fspath(path or os.environ.get(VARIABLE) or SOCKET))
