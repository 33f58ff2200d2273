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
    from pfq.engine.capture import Capture as Capture
    from pfq.engine.capture import Capture as capture  # noqa: N813  (the constructor is the function)
    from pfq.errors import PfqError as PfqError

_HOMES = {
    "capture": ("pfq.engine.capture", "Capture"),
    "Capture": ("pfq.engine.capture", "Capture"),
    "PfqError": ("pfq.errors", "PfqError"),
}

__all__ = ["Capture", "PfqError", "__version__", "capture"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `pfq` has no attribute `{name}`")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
