"""Random programs, drawn from the types in the table of primitives: all of them are well typed."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from pfq.errors import TooBigError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.build import term_of
from pfq.lang.compile import compile_text
from pfq.lang.prefixset import PrefixSet
from pfq.lang.prims import PRIMS, Kind, Prim
from pfq.lang.program import Call, Chain, Prefix, Program, Value

PREFIXES = ("10.0.0.0/8", "10.0.0.1/32", "192.168.1.1/25", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1/128", "::/0")

NAMES = ("lo", "eth0", "eth1")
SETS = tuple(PrefixSet.parse(text) for text in ("10.0.0.1, 192.168.0.0/16", "2001:db8::/64, 0.0.0.0/1", "ff00::/8"))
EXPRESSIONS = (
    "tcp port 80",
    "vlan 5 and ip",
    "udp[8:2] = 0x100 or ip6",
    "len > 60 and not icmp",
    "tcp[tcpflags] & 2 != 0",
)
MACS = ("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", "00:11:22:33:44:55")

LITERALS: dict[str, st.SearchStrategy[Value]] = {
    "Word8": st.sampled_from((0, 1, 6, 17, 58, 255)),
    "Word16": st.sampled_from((0, 22, 53, 80, 443, 0x0800, 0x8100, 65535)),
    "Word32": st.sampled_from((0, 1, 2, 3, 4, 6, 12, 14, 100, 0xFFFFFFFF)),
    "Word64": st.sampled_from(
        (0, 1, 8, 16, 20, 24, 40, 64, 255, 443, 0x618, 0x638, 0x1800, 0x6FF, 0x18FF, (1 << 64) - 1)
    ),
    "CInt": st.one_of(st.integers(-1, 63), st.sampled_from((1024, 4096))),
    "CIDR": st.sampled_from(PREFIXES).map(Prefix.parse),
    "IPv4": st.sampled_from((0x0A000001, 0x0A000000, 0xC0A80101, 0xFFFFFFFF, 0)),
    "PrefixSet": st.sampled_from(SETS),
    "String": st.sampled_from((*NAMES, *MACS)),
    "BerkeleyFilter": st.sampled_from(EXPRESSIONS).map(BerkeleyFilter.parse),
}
"""Values that packets meet; a primitive's own check leaves out those that do not suit it."""


def parameters(prim: Prim) -> list[str]:
    """The types of a primitive's parameters, function types in brackets."""
    parts, depth, start = [], 0, 0
    text = prim.type
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and text.startswith("->", at):
            parts.append(text[start:at].strip())
            start = at + 2
    return parts[:-1]


def calls(prim: Prim, depth: int) -> st.SearchStrategy[Call]:
    """Calls of one primitive with arguments of at most this depth; many programs as arguments are less deep each."""
    functions = sum(higher(kind) for kind in parameters(prim))
    inner = depth - max(1, functions.bit_length())
    arguments = st.tuples(*(values(kind, inner) for kind in parameters(prim)))
    check = prim.check
    if check is not None:
        arguments = arguments.filter(lambda args: check(*args) is None)
    return arguments.map(lambda args: Call(prim, args))


def values(kind: str, depth: int) -> st.SearchStrategy[Value]:
    match kind:
        case "(Packet -> Bool)":
            return any_call(Kind.PREDICATE, depth)
        case "(Packet -> Word64)":
            return any_call(Kind.PROPERTY, depth)
        case "(Packet -> Action Packet)":
            return chains(depth, 2)
        case _ if kind.startswith("["):
            return st.lists(LITERALS[kind[1:-1]], min_size=1, max_size=3).map(tuple)
        case _:
            return LITERALS[kind]


@cache
def any_call(kind: Kind, depth: int) -> st.SearchStrategy[Call]:
    """Half of them take programs as arguments, as long as there is depth left."""
    rows = [prim for prim in PRIMS.values() if prim.kind is kind and prim.name != "unit"]
    flat = [prim for prim in rows if not any(map(higher, parameters(prim)))]
    nested = [prim for prim in rows if prim not in flat]
    if depth <= 0 or not nested:
        return st.sampled_from(flat).flatmap(lambda prim: calls(prim, 0))
    return (
        st.booleans()
        .flatmap(lambda deep: st.sampled_from(nested if deep else flat))
        .flatmap(lambda prim: calls(prim, depth))
    )


def higher(kind: str) -> bool:
    """The parameter is itself a program."""
    return kind.startswith("(")


@cache
def chains(depth: int, longest: int) -> st.SearchStrategy[Chain]:
    """Chains of at most `longest` calls. `unit` is the empty chain."""
    found = st.lists(any_call(Kind.ACTION, depth), min_size=1 if depth > 0 else 0, max_size=longest)
    return found.map(lambda calls: Chain(tuple(calls)))


def fits(program: Program) -> bool:
    """The program keeps within the limits that the front end sets."""
    try:
        term_of(program.main)
    except TooBigError:
        return False
    return True


programs = st.integers(1, 6).flatmap(lambda depth: chains(depth, 4)).map(Program).filter(fits)
"""Whole programs, one to six levels deep."""


def example_program(prim: Prim, draw_from: st.DataObject) -> Program:
    """A program that uses one primitive: alone when it is an action, in a filter otherwise."""
    call = draw_from.draw(calls(prim, 2))
    match prim.kind:
        case Kind.ACTION:
            return Program(Chain((call,)))
        case Kind.PREDICATE:
            return Program(Chain((Call(PRIMS["filter"], (call,)),)))
        case Kind.PROPERTY:
            limit = draw_from.draw(LITERALS["Word64"])
            return Program(Chain((Call(PRIMS["filter"], (Call(PRIMS["greater"], (call, limit)),)),)))


def typical(kind: str) -> Value:
    """An argument of a type that many real packets meet."""
    match kind:
        case "(Packet -> Bool)":
            return Call(PRIMS["is_tcp"])
        case "(Packet -> Word64)":
            return Call(PRIMS["ip_ttl"])
        case "(Packet -> Action Packet)":
            return Chain((Call(PRIMS["tcp"]), Call(PRIMS["steer_flow"])))
        case "CIDR":
            return Prefix.parse("10.0.0.0/8")
        case "PrefixSet":
            return PrefixSet.parse("10.0.0.0/8, 192.168.0.0/16, 2001:db8::/32")
        case "BerkeleyFilter":
            return BerkeleyFilter.parse("tcp port 80")
        case "IPv4":
            return 0x0A000000
        case "String":
            return "eth0"
        case _ if kind.startswith("["):
            return (typical(kind[1:-1]),)
        case "Word16":
            return 80
        case _:
            return 6


def typical_program(prim: Prim) -> Program:
    """A program that uses one primitive and lets its result be seen in the action."""
    call = Call(prim, tuple(map(typical, parameters(prim))))
    if prim.check is not None and prim.check(*call.args) is not None:
        return compile_text(prim.example)
    match prim.kind:
        case Kind.ACTION:
            return Program(Chain((call,)))
        case Kind.PREDICATE:
            return Program(Chain((Call(PRIMS["mark"], (6,)), Call(PRIMS["filter"], (call,)))))
        case Kind.PROPERTY:
            test = Call(PRIMS["greater"], (call, 60))
            return Program(Chain((Call(PRIMS["filter"], (test,)),)))


EVERY_PRIMITIVE = {prim.name: typical_program(prim) for prim in PRIMS.values()}
"""A program for each row of the table."""
