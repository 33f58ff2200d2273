"""Fingerprints tell flows apart and are the same for both directions."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from pfq.lang.constants import CONSTANTS
from pfq.lang.prims.fields import Field
from pfq.lang.prims.fingerprint import FLOW_BIT, WHOLE_FIELDS, fingerprint, packed


def found(name: str, **values: int) -> dict[Field, int]:
    """The fields of a key with these values; an address is one number."""
    result: dict[Field, int] = {}
    for field in WHOLE_FIELDS:
        if field.bit & CONSTANTS[f"key_{name}"][1]:
            value = values.get(field.name, 0)
            is_high_word = field.width == 64 and all(other.name != field.name for other in result)
            result[field] = value >> 64 if is_high_word else value % 2**field.width
    return result


def flow(src: int, dst: int, sport: int = 0, dport: int = 0, proto: int = 6) -> dict[Field, int]:
    return found("5tuple", ip_src=src, ip_dst=dst, src_port=sport, dst_port=dport, ip_proto=proto)


ADDRESS6 = 0x20010DB8 << 96


def test_fields_share_words() -> None:
    fields = [field for field in WHOLE_FIELDS if field.half == "src"]
    assert [[(f.name, start) for f, start in word] for word in packed("src", fields)] == [
        [("eth_src", 0), ("src_port", 48)],
        [("ip_src", 0)],
        [("ip_src", 0)],
    ]
    assert [[start for _, start in word] for word in packed("", WHOLE_FIELDS)] == [[0, 16, 24, 26, 32, 40]]


@pytest.mark.parametrize("net", [10 << 24, ADDRESS6])
def test_both_directions_have_one(net: int) -> None:
    assert fingerprint(flow(net + 1, net + 2, 80, 1024)) == fingerprint(flow(net + 2, net + 1, 1024, 80))


def test_the_ports_belong_to_their_addresses() -> None:
    assert fingerprint(flow(1, 2, 80, 1024)) != fingerprint(flow(1, 2, 1024, 80))


def test_every_field_counts() -> None:
    near = [
        flow(1, 2, 80, 1024),
        flow(1, 3, 80, 1024),
        flow(1 << 64 | 1, 2, 80, 1024),
        flow(1, 1 << 127 | 2, 80, 1024),
        flow(1, 2, 81, 1024),
        flow(1, 2, 80, 1025),
        flow(1, 2, 80, 1024, 17),
    ]
    assert len({fingerprint(each) for each in near}) == len(near)


def test_what_is_common_does_not_change_places_with_an_end() -> None:
    numbers = [found("src_port", src_port=6) | found("ip_proto", ip_proto=17)]
    numbers.append(found("src_port", src_port=17) | found("ip_proto", ip_proto=6))
    assert len({fingerprint(each) for each in numbers}) == 2


def test_no_two_of_the_flows_of_a_network_are_the_same() -> None:
    """Neighbouring addresses are the hard case for the sum of two halves. They also fill all buckets alike."""
    pairs = combinations_with_replacement(range(300), 2)
    prints = [fingerprint(found("3tuple", ip_src=(10 << 24) + a, ip_dst=(10 << 24) + b)) for a, b in pairs]
    assert len({each % 2**48 for each in prints}) == len({each >> 16 for each in prints}) == len(prints)
    buckets = [0] * 64
    for each in prints:
        assert each & FLOW_BIT
        buckets[each % 64] += 1
    assert all(550 <= count <= 860 for count in buckets)
