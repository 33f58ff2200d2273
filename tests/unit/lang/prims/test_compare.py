"""Comparisons: unsigned, 64 bits wide, and false where the property is absent."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames import tcp
from support.handmade import FRAMES, passed, v4

from pfq.lang.compile import compile_text

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "/=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
}
LARGEST = (1 << 64) - 1


@pytest.mark.parametrize("sign", COMPARISONS)
@pytest.mark.parametrize("number", [0, 63, 64, 65, 255, 256, 1 << 31, 1 << 63, LARGEST])
def test_s16_comparisons_are_unsigned(sign: str, number: int) -> None:
    assert passed(f"filter (ip_ttl .{sign} {number})", FRAMES["tcp4"]) == COMPARISONS[sign](64, number)


@pytest.mark.parametrize("sign", COMPARISONS)
def test_s16_mirrored_forms_compare_the_same(sign: str) -> None:
    mirror = sign.translate(str.maketrans("<>", "><"))
    assert compile_text(f"filter (64 {sign}. ip_ttl)") == compile_text(f"filter (ip_ttl .{mirror} 64)")


@pytest.mark.parametrize("text", [f"ip_ttl .{sign} 5" for sign in COMPARISONS])
def test_s15_a_comparison_of_what_is_absent_is_false(text: str) -> None:
    assert not passed(f"filter ({text})", FRAMES["arp"])
    assert passed(f"filter (not ({text}))", FRAMES["arp"])


@pytest.mark.parametrize("name", ["any_bit", "all_bit"])
def test_s15_bits_of_what_is_absent_are_not_set(name: str) -> None:
    assert not passed(f"filter (ip_ttl `{name}` 0)", FRAMES["arp"])
    assert not passed(f"filter (ip_ttl `{name}` 255)", FRAMES["arp"])


@given(port=st.integers(0, 65535), mask=st.integers(0, LARGEST))
def test_s17_bits(port: int, mask: int) -> None:
    frame = v4(tcp(port))
    assert passed(f"filter (tcp_source `any_bit` {mask})", frame) == (port & mask != 0)
    assert passed(f"filter (tcp_source `all_bit` {mask})", frame) == (port & mask == mask)


def test_s17_no_bit_at_all() -> None:
    assert passed("filter (ip_ttl `all_bit` 0)", FRAMES["tcp4"])
    assert not passed("filter (ip_ttl `any_bit` 0)", FRAMES["tcp4"])
