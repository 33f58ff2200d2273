"""PFQ: capture and steer packets on Linux with programs that run in the kernel.

    import pfq
    from pfq.lang import ip, steer_flow

    with pfq.capture("eth0", ip >> steer_flow, endpoints=4) as cap:
        for batch in cap[0]:
            print(batch.len.sum())

Importing this is cheap and needs no privilege; what a name needs is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pfq.client import connect as connect
    from pfq.columns.addresses import addresses as addresses
    from pfq.engine.capture import Capture as Capture
    from pfq.engine.capture import Capture as capture  # noqa: N813  (the constructor is the function)
    from pfq.engine.egress import Egress as Egress
    from pfq.engine.engine import Engine as Engine
    from pfq.errors import PfqError as PfqError
    from pfq.files.batch import FileReader as FileReader
    from pfq.files.batch import FileReader as read  # noqa: N813
    from pfq.files.run import Run as Run
    from pfq.files.run import Run as run  # noqa: N813  (the constructor is the function)
    from pfq.files.sql import sql as sql
    from pfq.flow.reading import flows as flows

_HOMES = {
    "FileReader": ("pfq.files.batch", "FileReader"),
    "addresses": ("pfq.columns.addresses", "addresses"),
    "read": ("pfq.files.batch", "FileReader"),
    "sql": ("pfq.files.sql", "sql"),
    "capture": ("pfq.engine.capture", "Capture"),
    "connect": ("pfq.client", "connect"),
    "Capture": ("pfq.engine.capture", "Capture"),
    "Egress": ("pfq.engine.egress", "Egress"),
    "Engine": ("pfq.engine.engine", "Engine"),
    "PfqError": ("pfq.errors", "PfqError"),
    "Run": ("pfq.files.run", "Run"),
    "flows": ("pfq.flow.reading", "flows"),
    "run": ("pfq.files.run", "Run"),
}

__all__ = [
    "Capture",
    "Egress",
    "Engine",
    "FileReader",
    "PfqError",
    "Run",
    "__version__",
    "addresses",
    "capture",
    "connect",
    "flows",
    "read",
    "run",
    "sql",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `pfq` has no attribute `{name}`")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
