"""Steering by the addresses of hosts: which of the two counts, which both, and who gets nothing."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from support.frames import ADDRESSES6, tcp, udp
from support.handmade import FRAMES, LIMITED_BROADCAST, action, v4, v6

from pfq.errors import ProgramErrors, RangeError
from pfq.lang.action import ANY_CLASSES, Action, Fanout
from pfq.lang.compile import compile_text

# Addresses as they lie in memory, read as little endian.
LOCAL, NEAR, REMOTE, FAR = "192.168.1.5", "192.168.77.6", "8.8.4.4", "1.2.3.4"
HASHES = {LOCAL: 0x0501A8C0, NEAR: 0x064DA8C0, REMOTE: 0x04040808, FAR: 0x04030201}
PARTS = {LOCAL: 0x0001A8C0, NEAR: 0x004DA8C0}
"""The same of their networks of length 24."""

LOCAL6, REMOTE6 = "2001:db8::5", "2400::1:0:9"
HASHES6 = {LOCAL6: 0xB80D0120 ^ 0x05000000, REMOTE6: 0x00000024 ^ 0x01000000 ^ 0x09000000}

NETWORKS = ("steer_local_ip 192.168.0.0/16", "steer_local_net 192.168.0.0 16 24")
EVERYBODY = Action(Fanout.COPY, ANY_CLASSES)


def packet(src: str, dst: str) -> bytes:
    source, destination = ip_address(src).packed, ip_address(dst).packed
    if len(source) == 4:
        return v4(tcp(), src=source, dst=destination)
    return v6(tcp(), src=source, dst=destination)


def steered(hashed: int) -> Action:
    return Action(Fanout.STEER, hash=hashed)


def doubled(first: int, second: int) -> Action:
    return Action(Fanout.DOUBLE, hash=first, hash2=second)


def test_s48_double_steer_ip_goes_to_both_hosts() -> None:
    assert action("double_steer_ip", packet(LOCAL, REMOTE)) == doubled(HASHES[LOCAL], HASHES[REMOTE])
    assert action("double_steer_ip", packet(REMOTE, LOCAL)) == doubled(HASHES[REMOTE], HASHES[LOCAL])
    assert action("double_steer_ip", packet(LOCAL6, REMOTE6)) == doubled(HASHES6[LOCAL6], HASHES6[REMOTE6])


@pytest.mark.parametrize(
    "name", ["tcp4 later fragment", "tcp4 first fragment", "icmp4", "tcp4 7 bytes", "tcp4 one tag"]
)
def test_double_steer_ip_needs_no_more_than_the_addresses(name: str) -> None:
    assert action("double_steer_ip", FRAMES[name]) == doubled(0x0100000A, 0x0200000A)


@pytest.mark.parametrize("program", ["double_steer_ip", *NETWORKS, "steer_local_ip 0.0.0.0/0", "steer_local_ip ::/0"])
@pytest.mark.parametrize("name", ["nothing", "runt", "arp", "ip4 19 bytes", "ip4 version 5", "ip6 39 bytes"])
def test_what_is_not_ip_goes_nowhere(program: str, name: str) -> None:
    assert action(program, FRAMES[name]) == Action(Fanout.DROP)


@pytest.mark.parametrize("program", ["double_steer_ip", *NETWORKS])
@pytest.mark.parametrize("side", ["src", "dst"])
def test_limited_broadcasts_go_to_all(program: str, side: str) -> None:
    assert action(program, v4(udp(), 17, **{side: LIMITED_BROADCAST})) == EVERYBODY  # type: ignore[arg-type]
    directed = v4(udp(), 17, **{side: bytes([255, 255, 255, 254])})  # type: ignore[arg-type]
    assert action(program, directed) != EVERYBODY


def test_ip6_has_no_limited_broadcast() -> None:
    ones = v6(tcp(), src=ADDRESSES6[2], dst=ADDRESSES6[2])
    assert action("double_steer_ip", ones) == doubled(0, 0)
    assert action("steer_local_ip ::/0", ones) == doubled(0, 0)
    assert action("steer_local_ip ::/0", FRAMES["udp4 limited broadcast"]) == Action(Fanout.DROP)


@pytest.mark.parametrize(
    ("src", "dst", "wanted"),
    [
        (LOCAL, REMOTE, steered(HASHES[LOCAL])),
        (REMOTE, LOCAL, steered(HASHES[LOCAL])),
        (LOCAL, NEAR, doubled(HASHES[LOCAL], HASHES[NEAR])),
        (NEAR, LOCAL, doubled(HASHES[NEAR], HASHES[LOCAL])),
        (REMOTE, FAR, Action(Fanout.DROP)),
        (LOCAL6, REMOTE6, Action(Fanout.DROP)),
    ],
)
def test_s49_steer_local_ip(src: str, dst: str, wanted: Action) -> None:
    assert action("steer_local_ip 192.168.0.0/16", packet(src, dst)) == wanted


@pytest.mark.parametrize(
    ("src", "dst", "wanted"),
    [
        (LOCAL6, REMOTE6, steered(HASHES6[LOCAL6])),
        (REMOTE6, LOCAL6, steered(HASHES6[LOCAL6])),
        (LOCAL6, LOCAL6, doubled(HASHES6[LOCAL6], HASHES6[LOCAL6])),
        (REMOTE6, REMOTE6, Action(Fanout.DROP)),
        (LOCAL, REMOTE, Action(Fanout.DROP)),
    ],
)
def test_s49_steer_local_ip_with_an_ip6_prefix(src: str, dst: str, wanted: Action) -> None:
    assert action("steer_local_ip 2001:db8::/32", packet(src, dst)) == wanted


@pytest.mark.parametrize(
    ("src", "dst", "wanted"),
    [
        (LOCAL, REMOTE, steered(PARTS[LOCAL])),
        (REMOTE, NEAR, steered(PARTS[NEAR])),
        (LOCAL, NEAR, doubled(PARTS[LOCAL], PARTS[NEAR])),
        (FAR, REMOTE, Action(Fanout.DROP)),
        (LOCAL6, REMOTE6, Action(Fanout.DROP)),
    ],
)
def test_s49_steer_local_net_keeps_the_hosts_of_a_part_together(src: str, dst: str, wanted: Action) -> None:
    assert action("steer_local_net 192.168.0.0 16 24", packet(src, dst)) == wanted


def test_the_bits_of_the_network_behind_its_prefix_are_ignored() -> None:
    assert action("steer_local_net 192.168.9.9 16 24", packet(LOCAL, REMOTE)) == steered(PARTS[LOCAL])


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [("32 32", steered(HASHES[LOCAL])), ("0 32", doubled(HASHES[LOCAL], HASHES[REMOTE])), ("0 0", doubled(0, 0))],
)
def test_extreme_lengths(lengths: str, wanted: Action) -> None:
    assert action(f"steer_local_net {LOCAL} {lengths}", packet(LOCAL, REMOTE)) == wanted


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ("33 33", "there is no IPv4 prefix 10.0.0.0/33: its length must be 0 to 32"),
        ("(-1) 8", "there is no IPv4 prefix 10.0.0.0/-1: its length must be 0 to 32"),
        ("16 15", "a network of length 16 has no parts of length 15: give 16 to 32"),
        ("16 33", "a network of length 16 has no parts of length 33: give 16 to 32"),
    ],
)
def test_wrong_lengths(lengths: str, message: str) -> None:
    with pytest.raises((RangeError, ProgramErrors), match=message):
        compile_text(f"steer_local_net 10.0.0.0 {lengths}")


def test_steering_leaves_the_classes() -> None:
    for program in ("double_steer_ip", *NETWORKS):
        assert action(f"classify 2 >-> {program}", packet(LOCAL, REMOTE)).classes == 1 << 2
