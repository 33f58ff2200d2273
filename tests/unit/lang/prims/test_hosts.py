"""Broadcast, multicast and the addresses of the receiving device."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from support.frames import ip4, tcp
from support.handmade import FRAMES, ask, passed, passing, v4, v6, with_macs

from pfq.lang.interp import World
from pfq.lang.prims.hosts import ROWS

SIDES = (("src", "dst"), ("src",), ("dst",))
FILTERS = {
    "is_ip_broadcast": "ip_broadcast",
    "is_ip_multicast": "ip_multicast",
    "is_ip_host": "ip_host",
    "is_incoming_host": "incoming_host",
}
OURS = World(hosts=frozenset(map(ip_address, ("10.0.0.2", "192.168.1.1", "2001:db8::2"))))
ONE_HOST, OTHER_HOST, ALL_ONES, GROUP = "020000000001", "020000000002", "ffffffffffff", "3333000000fb"

NONE, BOTH, SOURCE, DEST = (False,) * 3, (True,) * 3, (True, True, False), (True, False, True)
"""What is true by both sides, by the source and by the destination."""


def packet(src: str, dst: str) -> bytes:
    """A frame between two hosts of the same link with these IP addresses."""
    source, dest = ip_address(src).packed, ip_address(dst).packed
    frame = v4(tcp(), src=source, dst=dest) if len(source) == 4 else v6(tcp(), src=source, dst=dest)
    return with_macs(frame, ONE_HOST, OTHER_HOST)


CASES = [
    ("is_ip_broadcast", "10.0.0.1", "255.255.255.255", DEST),
    ("is_ip_broadcast", "255.255.255.255", "10.0.0.1", SOURCE),
    ("is_ip_broadcast", "255.255.255.255", "255.255.255.255", BOTH),
    ("is_ip_broadcast", "10.0.0.255", "255.255.255.254", NONE),
    ("is_ip_broadcast", "fe80::1", "ffff:ffff::ffff:ffff", NONE),
    ("is_ip_multicast", "10.0.0.1", "224.0.0.1", DEST),
    ("is_ip_multicast", "10.0.0.1", "239.255.255.255", DEST),
    ("is_ip_multicast", "224.0.0.0", "10.0.0.1", SOURCE),
    ("is_ip_multicast", "223.255.255.255", "240.0.0.0", NONE),
    ("is_ip_multicast", "10.0.0.1", "255.255.255.255", NONE),
    ("is_ip_multicast", "fe80::1", "ff02::fb", DEST),
    ("is_ip_multicast", "fe80::1", "ffff:ffff::1", DEST),
    ("is_ip_multicast", "ff00::", "fe80::1", SOURCE),
    ("is_ip_multicast", "e000::1", "feff::1", NONE),
    ("is_ip_host", "10.0.0.1", "10.0.0.2", DEST),
    ("is_ip_host", "192.168.1.1", "10.0.0.1", SOURCE),
    ("is_ip_host", "192.168.1.1", "10.0.0.2", BOTH),
    ("is_ip_host", "10.0.0.1", "10.0.0.3", NONE),
    ("is_ip_host", "2001:db8::1", "2001:db8::2", DEST),
    ("is_ip_host", "2001:db8::2", "2001:db8::1", SOURCE),
    ("is_ip_host", "2001:db8::1", "2001:db8::3", NONE),
    ("is_ip_host", "::a00:2", "::ffff:10.0.0.2", NONE),
    ("is_incoming_host", "10.0.0.1", "10.0.0.2", DEST),
    ("is_incoming_host", "10.0.0.2", "10.0.0.1", SOURCE),
    ("is_incoming_host", "2001:db8::1", "2001:db8::2", DEST),
    ("is_incoming_host", "10.0.0.1", "10.0.0.3", NONE),
    ("is_incoming_host", "10.0.0.1", "224.0.0.1", NONE),
]


@pytest.mark.parametrize(("name", "src", "dst", "wanted"), CASES)
def test_s33_s34_addresses_by_side(name: str, src: str, dst: str, wanted: tuple[bool, ...]) -> None:
    frame = packet(src, dst)
    for each in (name, FILTERS[name]):
        assert tuple(ask(each, frame, sides=sides, world=OURS) for sides in SIDES) == wanted, each
    assert passed(f"filter {name}", frame, world=OURS) is wanted[0]
    assert passed(FILTERS[name], frame, world=OURS) is wanted[0]


@pytest.mark.parametrize("name", FILTERS)
def test_a_frame_without_ip_has_no_address(name: str) -> None:
    for frame in ("nothing", "runt", "arp", "llc", "ip4 19 bytes", "ip6 39 bytes", "ip4 version 5"):
        own = FRAMES[frame] if len(FRAMES[frame]) < 14 else with_macs(FRAMES[frame], ONE_HOST, OTHER_HOST)
        assert not ask(name, own, world=OURS), frame


def test_s41_a_broadcast_or_multicast_frame_comes_in_whatever_it_carries() -> None:
    for dst in (ALL_ONES, GROUP):
        assert ask("is_incoming_host", with_macs(FRAMES["arp"], dst, ONE_HOST))
        assert ask("incoming_host", with_macs(FRAMES["tcp4"], dst, ONE_HOST), sides=("src",))
        assert not ask("is_incoming_host", with_macs(FRAMES["arp"], ONE_HOST, dst))
    assert not ask("is_incoming_host", with_macs(FRAMES["arp"], ALL_ONES, ONE_HOST)[:13])


def test_without_addresses_of_its_own_a_device_has_no_host() -> None:
    assert passing("ip_host") == set()
    assert passing("incoming_host") == set(FRAMES) - {"nothing", "runt"}


def test_only_the_limited_broadcast_of_the_frames_is_a_broadcast() -> None:
    assert passing("ip_broadcast") == {"udp4 limited broadcast"}
    assert passing("ip_multicast") == set()


def test_inside_a_tunnel_the_inner_addresses_count() -> None:
    inner = ip4(tcp(), src=ip_address("10.9.9.9").packed, dst=ip_address("192.168.1.1").packed)
    outer = with_macs(v4(inner, 4, dst=ip_address("224.0.0.9").packed), ONE_HOST, OTHER_HOST)
    assert ask("is_ip_multicast", outer)
    assert not ask("is_ip_multicast", outer, level=1)
    assert not ask("is_ip_host", outer, world=OURS)
    assert ask("is_ip_host", outer, world=OURS, level=1)


def test_all_rows_are_tested_here() -> None:
    assert {prim.name for prim in ROWS} == set(FILTERS) | set(FILTERS.values())
