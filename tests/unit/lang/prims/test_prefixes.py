"""Predicates on sets of prefixes; the sets themselves are tested in test_prefixset."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.frames import ADDRESSES4, ADDRESSES6, tcp
from support.handmade import FRAMES, accepted, ask, passed, v4, v6

from pfq.lang.prefixset import PrefixSet

WITH_IP4 = accepted("is_ip")
WITH_IP6 = accepted("is_ip6")
BROADCAST = {"udp4 limited broadcast"}


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ('addr_in "0.0.0.0/0"', WITH_IP4),
        ('addr_in "::/0"', WITH_IP6),
        ('addr_in "::/0, 0.0.0.0/0"', WITH_IP4 | WITH_IP6),
        ('addr_in "10.0.0.0/8"', WITH_IP4),
        ('addr_in "10.0.0.1"', WITH_IP4),
        ('addr_in "10.0.0.2"', WITH_IP4 - BROADCAST),
        ('addr_in "10.0.0.3, 192.168.0.0/16"', set()),
        ('addr_in "255.255.255.255"', BROADCAST),
        ('src_addr_in "10.0.0.1"', WITH_IP4),
        ('src_addr_in "10.0.0.2, 255.255.255.255"', set()),
        ('dst_addr_in "10.0.0.2"', WITH_IP4 - BROADCAST),
        ('dst_addr_in "10.0.0.2, 255.255.255.255"', WITH_IP4),
        ('dst_addr_in "10.0.0.1"', set()),
        ('addr_in "2001:db8::/64"', WITH_IP6),
        ('src_addr_in "2001:db8::1"', WITH_IP6),
        ('src_addr_in "2001:db8::2"', set()),
        ('dst_addr_in "2001:db8::2"', WITH_IP6),
        ('dst_addr_in "2001:db8::1, 10.0.0.1"', set()),
    ],
)
def test_accepts_exactly(predicate: str, names: set[str]) -> None:
    assert len(WITH_IP4) > 10
    assert len(WITH_IP6) > 10
    assert accepted(predicate) == names


def test_edges_of_a_prefix() -> None:
    for last, inside in ((7, False), (8, True), (15, True), (16, False)):
        frame = v4(tcp(), src=bytes((10, 9, 9, last)))
        assert passed('filter (src_addr_in "10.9.9.8/29")', frame) is inside
        six = v6(tcp(), dst=ADDRESSES6[0][:15] + bytes([last]))
        assert passed('filter (dst_addr_in "2001:db8::8/125")', six) is inside


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "nets"
    file.write_text("# office\n192.168.0.0/16\n2001:db8::2\n")
    assert accepted(f'addr_in "{file}"') == WITH_IP6
    assert passed(f'filter (addr_in "{file}")', v4(tcp(), dst=ADDRESSES4[2]))


@pytest.mark.parametrize(("sides", "found"), [(("src",), False), (("dst",), True), (("src", "dst"), True)])
def test_the_sides_that_the_program_chose(sides: tuple[str, ...], found: bool) -> None:
    second, frame = PrefixSet.parse("10.0.0.2"), FRAMES["tcp4"]
    assert ask("addr_in", frame, second, sides=sides) is found
    assert ask("dst_addr_in", frame, second, sides=sides) is True
    assert ask("src_addr_in", frame, second, sides=sides) is False


def test_inside_a_tunnel() -> None:
    """10.0.0.1 to 10.0.0.2 inside 192.168.1.1 to 255.255.255.255."""
    inner = v4(tcp())[14:]
    frame = v4(inner, 4, src=ADDRESSES4[2], dst=ADDRESSES4[3])
    ten = PrefixSet.parse("10.0.0.0/8")
    assert ask("addr_in", frame, ten) is False
    assert ask("addr_in", frame, ten, level=1) is True
    assert ask("addr_in", frame, ten, level=2) is False
