"""Predicates and filters by Bloom filter; the filter itself is tested in test_bloomfilter."""

from __future__ import annotations

import pytest
from support.frames import ADDRESSES4, tcp
from support.handmade import FRAMES, accepted, ask, passed, v4

from pfq.errors import ProgramError, RangeError
from pfq.lang.compile import compile_text
from pfq.lang.jsonform import from_json, to_json

WITH_IP4 = accepted("is_ip")
TO_SECOND = WITH_IP4 - {"udp4 limited broadcast"}
FIRST, SECOND = 0x0A000001, 0x0A000002


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ("bloom 1024 [10.0.0.1] 32", WITH_IP4),
        ("bloom 1024 [10.0.0.2] 32", TO_SECOND),
        ("bloom 1024 [10.9.9.9, 10.0.0.2] 32", TO_SECOND),
        ("bloom 1024 [10.0.0.3, 192.168.1.1] 32", set()),
        ("bloom 1024 [255.255.255.255] 32", {"udp4 limited broadcast"}),
        ("bloom 1024 [10.0.0.99] 24", WITH_IP4),
        ("bloom 1024 [10.0.1.99] 24", set()),
        ("bloom 1024 [192.168.1.1] 0", WITH_IP4),
        ("bloom 1 [192.168.1.1] 32", WITH_IP4),
        ("bloom 1024 [] 32", set()),
        ("bloom 1 [] 0", set()),
        ("bloom_src 1024 [10.0.0.1] 32", WITH_IP4),
        ("bloom_src 1024 [10.0.0.2] 32", set()),
        ("bloom_dst 1024 [10.0.0.1] 32", set()),
        ("bloom_dst 1024 [10.0.0.2] 32", TO_SECOND),
        ("bloom_dst 16777216 [10.0.0.2] 32", TO_SECOND),
    ],
)
def test_accepts_exactly(predicate: str, names: set[str]) -> None:
    """With so few addresses in so many bins there are no false positives, but with one bin there is nothing else."""
    assert accepted(predicate) == names
    name, arguments = predicate.split(" ", 1)
    assert {each for each, frame in FRAMES.items() if passed(f"{name}_filter {arguments}", frame)} == names


def test_a_false_positive() -> None:
    """Of 256 bits 10.0.0.1 has 10, 11 and 1, and so has 10.0.1.0, but 10.0.0.2 has 10, 8 and 2."""
    for last, found in (((0, 1), True), ((1, 0), True), ((0, 2), False)):
        assert passed("bloom_src_filter 256 [10.0.0.1] 32", v4(tcp(), src=bytes((10, 0, *last)))) is found


@pytest.mark.parametrize(("sides", "found"), [(("src",), False), (("dst",), True), (("src", "dst"), True)])
def test_the_sides_that_the_program_chose(sides: tuple[str, ...], found: bool) -> None:
    frame = FRAMES["tcp4"]
    for name in ("bloom", "bloom_filter"):
        assert ask(name, frame, 1024, (SECOND,), 32, sides=sides) is found
    for name in ("bloom_dst", "bloom_dst_filter"):
        assert ask(name, frame, 1024, (SECOND,), 32, sides=sides) is True
        assert ask(name, frame, 1024, (FIRST,), 32, sides=sides) is False


def test_inside_a_tunnel() -> None:
    frame = v4(v4(tcp())[14:], 4, src=ADDRESSES4[2], dst=ADDRESSES4[3])
    assert ask("bloom", frame, 1024, (FIRST,), 32) is False
    assert ask("bloom", frame, 1024, (FIRST,), 32, level=1) is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("0 [] 32", "a Bloom filter cannot have 0 bins: it has 1 to 16777216"),
        ("(-1) [] 32", "a Bloom filter cannot have -1 bins"),
        ("16777217 [] 32", "a Bloom filter cannot have 16777217 bins"),
        ("1024 [] 33", "an IPv4 prefix cannot have 33 bits: it has 0 to 32"),
        ("1024 [] (-1)", "an IPv4 prefix cannot have -1 bits"),
    ],
)
@pytest.mark.parametrize("name", ["bloom", "bloom_src", "bloom_dst"])
def test_refused(name: str, arguments: str, message: str) -> None:
    for text in (f"{name}_filter {arguments}", f"filter ({name} {arguments})"):
        with pytest.raises(RangeError) as caught:
            compile_text(text)
        assert message in caught.value.message


def test_addresses_only() -> None:
    for text in ("bloom_filter 16 [10.0.0.0/8] 32", "bloom_filter 16 [::1] 32", "bloom_filter 16 10.0.0.1 32"):
        with pytest.raises(ProgramError):
            compile_text(text)


def test_in_json() -> None:
    program = compile_text("bloom_filter 1000 [10.0.0.1, 10.0.0.2] 32")
    assert '{"argType": "[IPv4]", "argValue": [{"getHostAddress": 16777226}' in to_json(program)
    assert from_json(to_json(program)) == program
