"""Words of a program text."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from pfq.errors import LexicalError, LiteralError, ProgramError, RangeError, TooBigError
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, Token, tokens_of
from pfq.lang.limits import MAX_NAME, MAX_SOURCE
from pfq.lang.program import Prefix
from pfq.source import Source


def words(text: str) -> list[Token]:
    faults = Faults()
    found = tokens_of(Source("test", text), faults)
    faults.check()
    assert found[-1].kind is Kind.END
    return found[:-1]


def texts(text: str) -> list[str]:
    return [token.text for token in words(text)]


def only(text: str) -> Token:
    (token,) = words(text)
    return token


def refused(text: str) -> ProgramError:
    faults = Faults()
    tokens_of(Source("test", text), faults)
    with pytest.raises(ProgramError) as caught:
        faults.check()
    return caught.value


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("ip_ttl.<5", ["ip_ttl", ".<", "5"]),
        ("ip>->tcp", ["ip", ">->", "tcp"]),
        ("5<.p.&&.q", ["5", "<.", "p", ".&&.", "q"]),
        ("\\n->port n", ["\\", "n", "->", "port", "n"]),
        ("x`any_bit`3", ["x", "`", "any_bit", "`", "3"]),
        ("[1,-2]", ["[", "1", ",", "-", "2", "]"]),
        ("f::Word8->Bool", ["f", "::", "Word8", "->", "Bool"]),
        ("f::CIDR", ["f", "::", "CIDR"]),
        ("x' _y a1_'", ["x'", "_y", "a1_'"]),
        ("Lib.Filter.web Lib.Filter", ["Lib.Filter.web", "Lib.Filter"]),
        ("a -- rest --> x\nb", ["a", "b"]),
        ("a --| b", ["a", "--|", "b"]),
        ("a{- {- -} -}b", ["a", "b"]),
        ("{a;b}", ["{", "a", ";", "b", "}"]),
        ("1.2.3.4/8.", ["1.2.3.4/8", "."]),
        ("", []),
    ],
)
def test_words(text: str, split: list[str]) -> None:
    assert texts(text) == split


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("08", 8), ("1_000", 1000), ("0xFf", 255), ("0b1_01", 5), ("0o17", 15), (str(2**64 - 1), 2**64 - 1)],
)
def test_numbers(text: str, value: int) -> None:
    assert only(text).value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10.0.0.1", IPv4Address("10.0.0.1")),
        ("10.0.0.1/8", Prefix.parse("10.0.0.0/8")),
        ("::", None),
        ("::/0", Prefix.parse("::/0")),
        ("::1", Prefix.parse("::1/128")),
        ("2001:db8::/32", Prefix.parse("2001:db8::/32")),
        ("fe80::1:2", Prefix.parse("fe80::1:2/128")),
        ("::ffff:10.0.0.1", Prefix.parse("::ffff:a00:1")),
        ("1:2:3:4:5:6:7:8/16", Prefix.parse("1::/16")),
        ("dead::beef", Prefix.parse("dead::beef")),
    ],
)
def test_addresses(text: str, value: object) -> None:
    assert only(text).value == value


def test_text_escapes() -> None:
    assert only(r'"a\n\t\r\0\\\"\x41\u{20ac}"').value == 'a\n\t\r\0\\"A€'


def test_columns_count_tabs_to_multiples_of_eight() -> None:
    assert [(token.column, token.first) for token in words("a b\n\tc\n  \td\n {- \n -}  e")] == [
        (1, True),
        (3, False),
        (9, True),
        (9, True),
        (6, True),
    ]


def test_byte_order_mark_is_passed_over() -> None:
    assert texts("\ufeffip") == ["ip"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('"abc', LexicalError, "no closing quote"),
        ("0x", LexicalError, "neither a number"),
        ("1_", LexicalError, "neither a number"),
        ("12ab", LexicalError, "neither a number"),
        ("é", LexicalError, "U+00E9"),
        ("\0", LexicalError, "U+0000"),
        ('"\\u{110000}"', LexicalError, "unknown escape"),
        ("{- {- -}", LexicalError, "has no end"),
        ('"a\x1b[0m"', LexicalError, "U+001B in a text"),
        ('"\u202e"', LexicalError, "U+202E in a text"),
        (str(2**64), RangeError, "64 bits"),
        ("1.2.3", LiteralError, "3 parts"),
        ("1.2.3.4.5", LiteralError, "5 parts"),
        ("1.2.3.4/33", LiteralError, "0 to 32"),
        ("1::2::3", LiteralError, "not an IPv6 address"),
        ("::1/129", LiteralError, "0 to 128"),
    ],
)
def test_what_is_no_word(text: str, error: type[ProgramError], message: str) -> None:
    fault = refused(text)
    assert type(fault) is error
    assert message in fault.message
    assert fault.span is not None


def test_lexing_goes_on_after_an_error() -> None:
    faults = Faults()
    found = tokens_of(Source("test", 'ip § "a\\qb" tcp'), faults)
    assert [token.kind for token in found] == [Kind.NAME, Kind.WRONG, Kind.WRONG, Kind.NAME, Kind.END]
    assert len(faults) == 2


@pytest.mark.parametrize("text", ["a" * (MAX_NAME + 1), " " * (MAX_SOURCE + 1)])
def test_limits(text: str) -> None:
    with pytest.raises(TooBigError):
        words(text)


def test_longest_name() -> None:
    assert only("a" * MAX_NAME).kind is Kind.NAME
