"""Reads types: those of signatures in programs and those of the table of primitives."""

from __future__ import annotations

from functools import cache
from typing import Final

from pfq.errors import ParseError, ProgramError, UnknownNameError
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, Token, tokens_of
from pfq.lang.limits import MAX_TYPE_DEPTH
from pfq.lang.types import ACTION, ERROR, PREDICATE, PROPERTY, RANGES, WORD64, Con, Fun, List, Type, shown
from pfq.source import Source, Span, did_you_mean

_PACKET = Con("Packet")
_ACTION_OF = Con("Action")
_PIPES = {"Action": ACTION, "Bool": PREDICATE, "Word64": PROPERTY}

_SYNONYMS = {
    "Qbuff": _PACKET,
    "NetFunction": ACTION,
    "NetPredicate": PREDICATE,
    "NetProperty": PROPERTY,
    "Int": Con("CInt"),
    "Word": WORD64,
    "FlowKey": WORD64,
    **{c: Con(name) for c, name in {
        "CUInt": "Word32", "CUnt": "Word32", "CShort": "Int16", "CUShort": "Word16", "CChar": "Int8",
        "CUChar": "Word8", "CLong": "Int64", "CULong": "Word64", "CLLong": "Int64", "CULLong": "Word64",
        "CSize": "Word64",
    }.items()},
}  # fmt: skip
TYPE_NAMES: Final = (
    *RANGES,
    "Bool",
    "String",
    "CIDR",
    "IPv4",
    "PrefixSet",
    "BerkeleyFilter",
    "Packet",
    "Action",
    *_SYNONYMS,
)


@cache
def type_of(text: str) -> Type:
    """The type that a row of the table writes; raises ProgramError when it is malformed."""
    source, faults = Source("type", text), Faults()
    result = parse(tokens_of(source, faults)[:-1], source, faults)
    faults.check()
    return result


def parse(tokens: list[Token], source: Source, faults: Faults) -> Type:
    """The type that these words write; ERROR when it is malformed, which is reported."""
    try:
        return _TypeParser(tokens, source).whole()
    except ProgramError as fault:
        faults.add(fault)
        return ERROR


class _TypeParser:
    def __init__(self, tokens: list[Token], source: Source) -> None:
        self.tokens = tokens
        self.source = source
        self.at = 0
        self.depth = 0

    def whole(self) -> Type:
        result = self.arrow()
        if self.at < len(self.tokens):
            raise self.fault(f"`{self.tokens[self.at].text}` does not belong to a type")
        if result in (_PACKET, _ACTION_OF):
            raise self.fault(f"`{shown(result)}` alone is no type of a definition")
        return result

    def arrow(self) -> Type:
        self.depth += 1
        if self.depth > MAX_TYPE_DEPTH:
            raise self.fault(f"types are nested more than {MAX_TYPE_DEPTH} deep")
        parameter = self.applied()
        if self.next_is("->"):
            self.at += 1
            parameter = self.function(parameter, self.arrow())
        self.depth -= 1
        return parameter

    def function(self, parameter: Type, result: Type) -> Type:
        if parameter != _PACKET:
            return Fun(parameter, result)
        if isinstance(result, Con) and result.name in _PIPES:
            return _PIPES[result.name]
        raise self.fault("a packet can only become an action, a Bool or a Word64")

    def applied(self) -> Type:
        """`Action Packet`, `Function (…)`, or a type without arguments."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token and token.text == "Function":
            self.at += 1
            return self.single()
        result = self.single()
        if result == _ACTION_OF and self.single() != _PACKET:
            raise self.fault("`Action` is followed by `Packet`")
        return result

    def single(self) -> Type:
        if self.at >= len(self.tokens):
            raise self.fault("a type is missing")
        token = self.tokens[self.at]
        self.at += 1
        if token.text in ("(", "["):
            inner = self.arrow()
            self.close(")" if token.text == "(" else "]")
            return inner if token.text == "(" else List(inner)
        if token.kind is Kind.NAME:
            return Con(token.text)
        if token.kind is Kind.CONSTRUCTOR:
            return self.named(token)
        self.at -= 1
        raise self.fault(f"`{token.text}` does not begin a type")

    def named(self, token: Token) -> Type:
        name = token.text.rpartition(".")[2]
        if name in _SYNONYMS:
            return _SYNONYMS[name]
        if name not in TYPE_NAMES:
            span = Span(self.source, token.start, token.end)
            raise UnknownNameError(f"unknown type `{name}`", span, did_you_mean(name, TYPE_NAMES))
        return Con(name)

    def close(self, bracket: str) -> None:
        if not self.next_is(bracket):
            raise self.fault(f"`{bracket}` is missing in a type")
        self.at += 1

    def next_is(self, text: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].text == text

    def fault(self, message: str) -> ParseError:
        hint = "types are written like `Word16 -> Packet -> Action Packet`"
        if not self.tokens:
            return ParseError(message, None, hint)
        token = self.tokens[min(self.at, len(self.tokens) - 1)]
        return ParseError(message, Span(self.source, token.start, token.end), hint)
