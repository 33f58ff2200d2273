"""Constants at the edges of what they may be (row V9 of the reliability catalogue): one meaning, or refused."""

from __future__ import annotations

import pytest
from support.handmade import FRAMES, passing

from pfq.errors import LiteralError, ParseError, ProgramError, RangeError, UnknownNameError
from pfq.lang.compile import compile_text
from pfq.lang.types import RANGES

MAX64 = 2**64 - 1
IP4 = passing("ip")
IP6 = passing("ip6")


@pytest.mark.parametrize(
    "expression",
    ["1 / 0", "4 / 2", "4 % 0", "1 << 64", "1 >> 1", "2 ^ 64", "6 & 3", "6 .&. 3", "2 ** 64", "1 .<<. 3", "7 // 2"],
)
def test_V9_there_is_no_division_and_no_shift(expression: str) -> None:
    with pytest.raises(ParseError) as caught:
        compile_text(f"mark ({expression})")
    assert caught.value.message == f"unknown operator `{expression.split()[1]}`"


@pytest.mark.parametrize("name", ["div", "mod", "quot", "rem", "shiftL", "shiftR", "xorBits"])
def test_V9_nor_functions_for_them(name: str) -> None:
    with pytest.raises(UnknownNameError):
        compile_text(f"mark (4 `{name}` 2)")


@pytest.mark.parametrize("text", ["vlan_id_filter [9 .. 1]", "vlan_id_filter [1..5]", "port [80..90]"])
def test_V9_there_are_no_ranges(text: str) -> None:
    with pytest.raises(ParseError, match=r"`\.\.` does not belong here") as caught:
        compile_text(text)
    assert caught.value.hint is not None
    assert "there are no ranges" in caught.value.hint


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0 - 1 + 2", 1),
        ("-0", 0),
        ("5 - -2", 7),
        (f"{MAX64} - {MAX64}", 0),
        (f"{MAX64} * 0", 0),
        (f"-{MAX64} + {MAX64}", 0),
        (f"{MAX64} .|. 1 - {MAX64 - 1}", 1),
        ("2 - 3 * 4 + 11", 1),
        ("8 - 4 - 2", 2),
    ],
)
def test_V9_arithmetic(expression: str, value: int) -> None:
    assert str(compile_text(f"mark ({expression})")) == f"mark {value}"


@pytest.mark.parametrize(
    "expression", [f"{MAX64} + 1", f"0 - {MAX64} - 1", f"{MAX64} * 2", "4294967296 * 4294967296", f"{MAX64} + 1 - 1"]
)
def test_V9_results_past_64_bits(expression: str) -> None:
    with pytest.raises(RangeError, match="does not fit into 64 bits"):
        compile_text(f"mark ({expression})")


@pytest.mark.parametrize("kind", RANGES)
def test_V9_both_ends_of_every_type_of_number(kind: str) -> None:
    low, high = RANGES[kind]
    for value in (low, high):
        compile_text(f"n :: {kind}\nn = {value}\nmain = ip")
    for value in (low - 1, high + 1):
        with pytest.raises(RangeError):
            compile_text(f"n :: {kind}\nn = {value}\nmain = ip")


@pytest.mark.parametrize(
    ("prefix", "core"),
    [
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("10.1.2.3/31", "10.1.2.2/31"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("255.255.255.255/32", "255.255.255.255/32"),
        ("2001:db8::1/0", "::/0"),
        ("2001:db8::1/127", "2001:db8::/127"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("2001:db8::1/32", "2001:db8::/32"),
    ],
)
def test_V9_lengths_of_prefixes(prefix: str, core: str) -> None:
    address, _, length = prefix.partition("/")
    for spelling in (prefix, f'"{prefix}"', f'(CIDR ("{address}", {length}))'):
        assert str(compile_text(f"addr {spelling}")) == f"addr {core}"


@pytest.mark.parametrize("prefix", ["10.0.0.0/33", "10.0.0.0/-1", "::/129", "::/-1", "10.0.0.0/4294967296"])
def test_V9_lengths_that_no_prefix_has(prefix: str) -> None:
    address, _, length = prefix.partition("/")
    for spelling in (f'"{prefix}"', f'(CIDR ("{address}", {length}))', f'(CIDR ("{address}", 0 + {length}))'):
        with pytest.raises(LiteralError, match="its length must be 0 to"):
            compile_text(f"addr {spelling}")


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("addr 1.2.3.4/0", IP4),
        ("addr ffff::/0", IP6),
        ("addr 0.0.0.0/32", set()),
        ("addr ::/128", set()),
        ("filter (has_addr 0.0.0.0/0 .||. has_addr ::/0)", IP4 | IP6),
    ],
)
def test_V9_the_widest_and_the_narrowest_prefix(program: str, names: set[str]) -> None:
    assert passing(program) == names


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ("ip_ttl .>= 10 .&&. ip_ttl .<= 5", set()),  # a range the wrong way round
        ("ip_ttl .>= 5 .&&. ip_ttl .<= 5", {"tcp4 ttl 5"}),
        ("ip_ttl .>= 0", IP4),
        ("ip_ttl .< 0", set()),
        (f"ip_ttl .<= {MAX64}", IP4),
        (f"ip_ttl .> {MAX64}", set()),
        (f"ip_ttl ./= {MAX64}", IP4),
        ("ip_ttl `any_bit` 0", set()),
        ("ip_ttl `all_bit` 0", IP4),
        (f"ip_ttl `any_bit` {MAX64}", IP4),
        (f"ip_ttl `all_bit` {MAX64}", set()),
        ("has_port 0", set()),
        ("has_port 65535", set()),
        ("is_l4_proto 255", set()),
        ("is_l3_proto 65535", set()),
    ],
)
def test_V9_comparisons(predicate: str, names: set[str]) -> None:
    assert passing(f"filter ({predicate})") == names
    assert passing(f"filter (not ({predicate}))") == set(FRAMES) - names


@pytest.mark.parametrize(
    "program", ["port (80 - 90)", "port 65536", "mark 4294967296", "l4_proto 256", "inc 64", "dec -1"]
)
def test_V9_values_that_a_primitive_does_not_take(program: str) -> None:
    with pytest.raises(ProgramError) as caught:
        compile_text(program)
    assert type(caught.value) is RangeError
