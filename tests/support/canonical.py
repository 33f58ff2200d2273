"""Random programs as the front end makes them, over any table of primitives."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from hypothesis import strategies as st

from pfq.lang.build import TYPE_OF_KIND, Scalar, Term, call, checked, composed, parameter_types
from pfq.lang.prims.table import Prim, Table
from pfq.lang.program import Chain, Prefix, Program, Value
from pfq.lang.types import ACTION, RANGES, Con, List, Type

ADDRESSES = st.ip_addresses(v=4)
NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: Prefix(ip_network(f"{pair[0]}/{pair[1]}", strict=False)))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def programs(table: Table, depth: int = 3) -> st.SearchStrategy[Program]:
    """Programs whose calls are nested at most `depth` times."""
    return actions(table, depth).map(_program)


def _program(term: Term) -> Program:
    assert isinstance(term.value, Chain)
    return Program(term.value)


def actions(table: Table, depth: int) -> st.SearchStrategy[Term]:
    """Chains of up to three calls."""
    return st.lists(_calls(table, ACTION, depth), max_size=3).map(composed)


def _calls(table: Table, kind: Type, depth: int) -> st.SearchStrategy[Term]:
    rows = [prim for prim in table.values() if TYPE_OF_KIND[prim.kind] == kind and (depth > 0 or _is_flat(prim))]
    return st.sampled_from(rows).flatmap(lambda prim: _call(table, prim, depth))


def _is_flat(prim: Prim) -> bool:
    return not any(kind in TYPE_OF_KIND.values() for kind in parameter_types(prim))


def _call(table: Table, prim: Prim, depth: int) -> st.SearchStrategy[Term]:
    arguments = [_argument(table, kind, depth - 1) for kind in parameter_types(prim)]
    return st.tuples(*arguments).filter(lambda given: _accepted(prim, given)).map(lambda given: call(prim, given))


def _accepted(prim: Prim, arguments: tuple[Value | Term, ...]) -> bool:
    values = (argument.value if isinstance(argument, Term) else argument for argument in arguments)
    return prim.check is None or prim.check(*values) is None


def _argument(table: Table, kind: Type, depth: int) -> st.SearchStrategy[Value | Term]:
    if kind == ACTION:
        return actions(table, depth)
    if kind in TYPE_OF_KIND.values():
        return _calls(table, kind, depth)
    if isinstance(kind, List):
        item = kind.item
        return st.lists(_scalar(item), max_size=3).map(lambda items: tuple(checked(each, item, "") for each in items))
    return _scalar(kind).map(lambda value: checked(value, kind, ""))


def _scalar(kind: Type) -> st.SearchStrategy[Scalar]:
    assert isinstance(kind, Con)
    if kind.name in RANGES:
        low, high = RANGES[kind.name]
        return st.one_of(st.integers(0, min(63, high)), st.integers(low, high))
    return {
        "CIDR": NETWORKS,
        "IPv4": ADDRESSES.map(lambda address: IPv4Address(address)),
        "String": TEXTS,
        "Bool": st.booleans(),
        "PrefixSet": st.lists(NETWORKS.map(str), min_size=1, max_size=3).map(", ".join),
        "BerkeleyFilter": st.sampled_from(("tcp port 80", "host 10.0.0.1 or ip6", "1,6 0 0 262144", "")),
    }.get(kind.name, st.one_of(st.integers(0, 1 << 62), TEXTS))
