"""pfq-lang: programs that decide, packet by packet, who gets it and where it goes.

    from pfq.lang import ip, steer_flow, when, is_tcp, has_port, drop
    program = ip >> when(is_tcp & has_port(80), drop) >> steer_flow

Every primitive is a name of this module, made from the table when it is first asked for. A name
that Python uses itself gets an underscore: `and_`, `or_`, `not_`, and with `from pfq.lang import *`
also `filter_`, which is `keep`.
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
    "PrefixSet": "prefixset",
    "BerkeleyFilter": "berkeley",
    "bloom_calc_m": "bloomfilter",
    "bloom_calc_n": "bloomfilter",
    "bloom_calc_p": "bloomfilter",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"pfq.lang.{_PUBLIC[name]}"), name)
    if name == "__all__":
        return _all_names()
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


def _all_names() -> list[str]:
    """What `from pfq.lang import *` brings; names that Python uses itself have an underscore."""
    import builtins
    from keyword import iskeyword

    from pfq.lang.constants import CONSTANTS
    from pfq.lang.prims import PRIMS

    names = {*PRIMS.names(), *CONSTANTS}
    taken = {name for name in names if iskeyword(name) or hasattr(builtins, name)}
    return sorted({*_PUBLIC, *(names - taken), *(f"{name}_" for name in taken - CONSTANTS.keys())})


@cache
def _submodules() -> frozenset[str]:
    from pkgutil import iter_modules

    return frozenset(module.name for module in iter_modules(__path__))
