"""Reads the JSON form of a program; `jsonform` says what it looks like."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pfq.errors import (
    ArityError,
    InternalError,
    JsonFormError,
    ProgramError,
    TypeMismatchError,
    UnknownNameError,
)
from pfq.lang.build import Scalar, Term, call, checked, composed, given, parameter_types, plural, slot
from pfq.lang.faults import Faults
from pfq.lang.limits import MAX_CALLS, MAX_ITEMS, MAX_SOURCE
from pfq.lang.prims.table import Kind, Prim, Table
from pfq.lang.program import Chain, Prefix, Value
from pfq.lang.types import RANGES, List, Type
from pfq.source import did_you_mean

_NUMBER_TYPES = frozenset({"int", "word", *(name.lower() for name in RANGES)})


def read(text: str, table: Table) -> Chain:
    """The chain that a JSON form describes; see `from_json`."""
    return _Reader(_array(text), table).read()


def _array(text: str) -> list[Any]:
    if len(text) > MAX_SOURCE:
        raise JsonFormError(f"the JSON form has {len(text)} characters; at most {MAX_SOURCE} are accepted")
    try:
        data = json.loads(text)
    except RecursionError:
        raise JsonFormError("the JSON form is nested too deep") from None
    except ValueError as error:
        raise JsonFormError(f"this is not JSON: {error}") from None
    if not isinstance(data, list) or not data:
        raise JsonFormError("the JSON form of a program is an array of at least one descriptor")
    if len(data) > MAX_CALLS:
        raise JsonFormError(f"the JSON form has {len(data)} descriptors; at most {MAX_CALLS} are accepted")
    return data


@dataclass(frozen=True, slots=True)
class _Descriptor:
    """One entry of the array. link: index of the successor, None at the end of a chain."""

    index: int
    prim: Prim
    arguments: list[Any]
    link: int | None


class _Reader:
    """Builds calls from the last descriptor to the first; every reference points forwards."""

    def __init__(self, entries: list[Any], table: Table) -> None:
        self.entries = entries
        self.table = table
        self.faults: list[tuple[int, ProgramError]] = []
        self.descriptors: dict[int, _Descriptor] = {}
        self.terms: dict[int, Term] = {}
        self.reached: set[int] = set()

    def read(self) -> Chain:
        for index in range(len(self.entries) - 1, -1, -1):
            try:
                self.descriptors[index] = self.descriptor(index, self.entries[index])
                self.terms[index] = self.term(self.descriptors[index])
            except ProgramError as fault:
                self.note(index, fault)
        main = self.chain(0)
        if main is not None:
            self.check_reached()
        found = Faults()
        for _, each in sorted(self.faults, key=lambda noted: noted[0]):
            found.add(each)
        found.check()
        if main is None or not isinstance(main.value, Chain):
            raise InternalError("a JSON form without mistakes has no value")
        return main.value

    def note(self, index: int, fault: ProgramError) -> None:
        if fault.message:
            fault.message = f"descriptor {index}: {fault.message}"
            self.faults.append((index, fault))

    def check_reached(self) -> None:
        for index in range(len(self.entries)):
            if index not in self.reached:
                self.note(index, JsonFormError("nothing leads here: no funLink and no argument", None, _LINK_HINT))

    # one descriptor

    def descriptor(self, index: int, entry: Any) -> _Descriptor:
        if not isinstance(entry, dict) or not isinstance(entry.get("funSymbol"), str):
            raise JsonFormError("it must be an object with funIndex, funSymbol, funArgs and funLink")
        if entry.get("funIndex", index) != index:
            raise JsonFormError(f"its funIndex is {_brief(entry['funIndex'])}")
        arguments = entry.get("funArgs")
        if not isinstance(arguments, list):
            raise JsonFormError("its funArgs is not an array")
        symbol = entry["funSymbol"]
        if symbol not in self.table:
            hint = did_you_mean(symbol, self.table.names()) or self.table.why_missing()
            raise UnknownNameError(f"unknown function `{symbol[:40]}`", None, hint)
        present = [argument for argument in arguments if argument is not None]
        return _Descriptor(index, self.table[symbol], present, self.link(index, entry.get("funLink")))

    def link(self, index: int, link: Any) -> int | None:
        if type(link) is not int or not (link == -1 or index < link <= len(self.entries)):
            raise JsonFormError(f"its funLink is {_brief(link)}", None, _LINK_HINT)
        return None if link in (-1, len(self.entries)) else link

    def term(self, descriptor: _Descriptor) -> Term:
        prim = descriptor.prim
        kinds = parameter_types(prim)
        if len(descriptor.arguments) != len(kinds):
            wants = f"`{prim.name}` needs {plural(len(kinds), 'argument')}"
            raise ArityError(f"{wants}, but {given(len(descriptor.arguments))}")
        if prim.kind is not Kind.ACTION and descriptor.link is not None:
            raise JsonFormError(f"`{prim.name}` is a {prim.kind.value}, which has no successor", None, _LINK_HINT)
        values = []
        for at, (argument, kind) in enumerate(zip(descriptor.arguments, kinds, strict=True)):
            where = f"{slot(prim, at)} of `{prim.name}`"
            values.append(self.argument(descriptor.index, argument, kind, where))
        return call(prim, values)

    def chain(self, index: int) -> Term | None:
        """The action that begins at a descriptor; None when a part of it is wrong."""
        parts: list[Term] = []
        at: int | None = index
        while at is not None:
            self.reached.add(at)
            if at not in self.terms:
                return None
            if not isinstance(self.terms[at].value, Chain):
                name = self.descriptors[at].prim.name
                kind = self.descriptors[at].prim.kind.value
                self.note(at, TypeMismatchError(f"an action is needed here, but `{name}` is a {kind}"))
                return None
            parts.append(self.terms[at])
            at = self.descriptors[at].link
        return composed(parts)

    # arguments

    def argument(self, index: int, entry: Any, kind: Type, where: str) -> Value | Term:
        if not isinstance(entry, dict) or not isinstance(entry.get("argType"), str) or "argValue" not in entry:
            raise JsonFormError(f"{where} must be an object with argType and argValue")
        name, value = entry["argType"].lower().strip(), entry["argValue"]
        if name.startswith("["):
            if not isinstance(kind, List):
                raise TypeMismatchError(f"{where} is a list, but one value is needed")
            if not isinstance(value, list) or len(value) > MAX_ITEMS:
                raise JsonFormError(f"{where} must be an array of at most {MAX_ITEMS} items")
            item = f"an item of {where}"
            return tuple(_only_value(checked(_decoded(name.strip("[] "), v, item), kind.item, item)) for v in value)
        if isinstance(kind, List):
            raise TypeMismatchError(f"{where} must be a list")
        scalar = self.function(index, value, where) if name == "fun" else _decoded(name, value, where)
        return checked(scalar, kind, where)

    def function(self, index: int, target: Any, where: str) -> Term:
        if type(target) is not int or not index < target < len(self.entries):
            raise JsonFormError(f"{where} refers to descriptor {_brief(target)}", None, _LINK_HINT)
        descriptor = self.descriptors.get(target)
        if descriptor is None or descriptor.prim.kind is Kind.ACTION:
            found = self.chain(target)
        else:
            self.reached.add(target)
            found = self.terms.get(target)
        if found is None:
            raise ProgramError("")  # the mistake is in the other descriptor and was noted there
        return found


_LINK_HINT = "links and function arguments point to later descriptors; -1 or the number of descriptors ends a chain"


def _decoded(name: str, value: Any, where: str) -> Scalar:
    """A plain argument of the JSON type `name`."""
    if name in _NUMBER_TYPES and type(value) is int:
        return value
    if name in ("string", "cidr", "ipv4") and isinstance(value, str):
        return value
    if name == "bool" and isinstance(value, bool):
        return value
    if name == "ipv4" and (address := _address(value)) is not None:
        return address
    if name == "cidr" and isinstance(value, dict):
        match value.get("getNetworkPair"):
            case [host, int(length)] if (
                (address := _address(host)) is not None and type(length) is int and length in range(33)
            ):
                return Prefix.parse(f"{address}/{length}")
    raise JsonFormError(f"{where}: the value {_brief(value)} does not have the argType `{name[:40]}`")


def _address(value: Any) -> IPv4Address | None:
    match value:
        case {"getHostAddress": int(number)} if type(number) is int and 0 <= number < 1 << 32:
            return IPv4Address(number.to_bytes(4, "little"))
    return None


def _only_value(value: Value | Term) -> Value:
    return value.value if isinstance(value, Term) else value


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:36]}…"
