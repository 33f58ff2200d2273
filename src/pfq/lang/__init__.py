"""pfq-lang: programs that decide, packet by packet, who gets it and where it goes.

    from pfq.lang import ip, steer_flow, when, is_tcp, has_port, drop
    program = ip >> when(is_tcp & has_port(80), drop) >> steer_flow

Every primitive is a name of this module, made from the table when it is first asked for. A name
that Python reserves gets an underscore: `and_`, `or_`, `not_`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

_PUBLIC = {
    "compile_text": "compile",
    "compile_file": "compile",
    "to_program": "edsl",
    "to_json": "jsonform",
    "from_json": "jsonform",
    "describe": "explain",
    "Program": "program",
    "Chain": "program",
    "Call": "program",
    "Prefix": "program",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"pfq.lang.{_PUBLIC[name]}"), name)
    if name.startswith("_") or name in _submodules():
        raise AttributeError(f"module `pfq.lang` has no attribute `{name}`")
    from pfq.lang.edsl import named
    from pfq.lang.prims import PRIMS

    try:
        return named(name, PRIMS)
    except KeyError:
        from pfq.source import did_you_mean

        hint = did_you_mean(name, (*PRIMS.names(), *_PUBLIC))
        raise AttributeError(f"pfq-lang has no `{name}`" + (f"; {hint}" if hint else "")) from None


def __dir__() -> list[str]:
    from pfq.lang.prims import PRIMS

    return sorted({*globals(), *_PUBLIC, *PRIMS.names()})


@cache
def _submodules() -> frozenset[str]:
    from pkgutil import iter_modules

    return frozenset(module.name for module in iter_modules(__path__))
