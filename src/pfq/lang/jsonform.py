"""The JSON form of a program: an array of function descriptors, as the original's compiler wrote it.

    [{"funIndex": 0, "funSymbol": "when", "funArgs": [{"argType": "Fun", "argValue": 1}, …], "funLink": 3}, …]

A descriptor is followed by those of its arguments, then by its successor in the chain. `funLink`
is the index of the successor; at the end of the program it is the length of the array, at the end
of an argument -1. An IPv4 address is a number whose little-endian bytes are the address.
Extensions: IPv6 prefixes, sets of prefixes and filter expressions are written as text.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.build import parameter_types
from pfq.lang.jsonread import read
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims.table import Table
from pfq.lang.program import Call, Chain, Prefix, Program, Value
from pfq.lang.types import Con, List, Type

ARGUMENTS: Final = 8
"""Entries of `funArgs`; the unused ones are null."""


def to_json(program: Program) -> str:
    """The JSON form of a program."""
    descriptors: list[dict[str, Any]] = []
    last = _write_chain(program.main, descriptors)
    descriptors[last]["funLink"] = len(descriptors)
    return json.dumps(descriptors)


def _write_chain(chain: Chain, out: list[dict[str, Any]]) -> int:
    """Appends the descriptors of a chain; the index of its last function."""
    if not chain.calls:
        return _write("unit", len(out), out)
    last = -1
    for each in chain.calls:
        index = _write_call(each, out)
        if last >= 0:
            out[last]["funLink"] = index
        last = index
    return last


def _write_call(each: Call, out: list[dict[str, Any]]) -> int:
    index = _write(each.prim.name, len(out), out)
    kinds = parameter_types(each.prim)
    for at, (value, kind) in enumerate(zip(each.args, kinds, strict=True)):
        out[index]["funArgs"][at] = _argument(value, kind, out)
    return index


def _write(symbol: str, index: int, out: list[dict[str, Any]]) -> int:
    out.append({"funIndex": index, "funSymbol": symbol, "funArgs": [None] * ARGUMENTS, "funLink": -1})
    return index


def _argument(value: Value, kind: Type, out: list[dict[str, Any]]) -> dict[str, Any]:
    match value:
        case Call():
            return {"argType": "Fun", "argValue": _write_call(value, out)}
        case Chain():
            index = len(out)
            _write_chain(value, out)
            return {"argType": "Fun", "argValue": index}
        case tuple() if isinstance(kind, List):
            return {
                "argType": f"[{_type_name(kind.item, value)}]",
                "argValue": [_scalar(item, kind.item) for item in value],
            }
        case _:
            return {"argType": _type_name(kind, value), "argValue": _scalar(value, kind)}


def _type_name(kind: Type, value: Value) -> str:
    assert isinstance(kind, Con)
    if kind.name[0].islower():  # any type
        return "String" if isinstance(value, str) else "CIDR" if isinstance(value, Prefix) else "Int64"
    return {"CInt": "Int", "PrefixSet": "String", "BerkeleyFilter": "String"}.get(kind.name, kind.name)


def _scalar(value: Value, kind: Type) -> Any:
    if isinstance(value, Prefix):
        if isinstance(value.network, IPv4Network):
            return {"getNetworkPair": [_host(value.network.network_address), value.length]}
        return str(value)
    if isinstance(value, PrefixSet | BerkeleyFilter):
        return value.name
    if isinstance(value, int) and kind == Con("IPv4"):
        return _host(IPv4Address(value))
    return bool(value) if kind == Con("Bool") else value


def _host(address: IPv4Address) -> dict[str, int]:
    return {"getHostAddress": int.from_bytes(address.packed, "little")}


def from_json(text: str, table: Table | None = None) -> Program:
    """The program that a JSON form describes.

    table  the primitives; None for all that there are
    Raises JsonFormError when the form is wrong and other ProgramErrors when the program is; each
    names the descriptor. Several come as ProgramErrors.
    """
    if table is None:
        from pfq.lang.prims import PRIMS

        table = PRIMS
    return Program(read(text, table), text)
