"""Where the packet inside a tunnel is, level by level."""

from __future__ import annotations

import pytest
from support.frames import ADDRESSES4, ADDRESSES6, ethernet, geneve, gre, gtp, ip4, ip6, tcp, udp, vxlan
from support.shapes import shapes

from pfq.lang.packet import HEADER_WINDOW, Packet

IP4, IP6 = 0x0800, 0x86DD
INNER4 = ip4(tcp(443, 4000), src=ADDRESSES4[2])
INNER6 = ip6(udp(53, 4001), 17, src=ADDRESSES6[1])


def carried(packet: bytes, kind: int = IP4) -> tuple[int, int | None, bytes] | None:
    """(version, protocol, source) of the packet inside, None when there is none."""
    ip = Packet(ethernet(packet, kind)).level(1).ip
    return None if ip is None else (ip.version, ip.proto, ip.src)


FOUR = (4, 6, ADDRESSES4[2])
SIX = (6, 17, ADDRESSES6[1])


@pytest.mark.parametrize(
    ("packet", "wanted"),
    [
        (ip4(INNER4, 4), FOUR),
        (ip4(INNER6, 41), SIX),
        (ip4(INNER6, 4), None),
        (ip4(INNER4, 4, options=b"\1" * 8), FOUR),
        (ip4(INNER4, 4, parts=0x2000), FOUR),
        (ip4(INNER4, 4, parts=0x0001), None),
        (ip4(gre(INNER4, IP4), 47), FOUR),
        (ip4(gre(INNER6, IP6, 0x2000), 47), SIX),
        (ip4(gre(INNER6, IP6, 0x1000), 47), SIX),
        (ip4(gre(INNER6, IP6, 0xB000), 47), SIX),
        (ip4(gre(INNER4, IP4, 0x4000), 47), None),
        (ip4(gre(INNER4, IP4, 0x0001), 47), None),
        (ip4(gre(INNER4, 0x880B), 47), None),
        (ip4(gre(ethernet(INNER4, IP4, [(0x8100, 7)]), 0x6558), 47), FOUR),
        (ip4(udp(9, 4789, vxlan(ethernet(INNER4, IP4))), 17), FOUR),
        (ip4(udp(9, 4789, vxlan(ethernet(INNER6, IP6, [(0x88A8, 1), (0x8100, 2)]))), 17), SIX),
        (ip4(udp(9, 4789, vxlan(ethernet(INNER4, IP4), flags=0)), 17), None),
        (ip4(udp(4789, 9, vxlan(ethernet(INNER4, IP4))), 17), None),
        (ip4(udp(9, 6081, geneve(INNER4, IP4)), 17), FOUR),
        (ip4(udp(9, 6081, geneve(ethernet(INNER6, IP6), 0x6558, 63)), 17), SIX),
        (ip4(udp(9, 6081, geneve(INNER4, IP4, version=1)), 17), None),
        (ip4(udp(9, 2152, gtp(INNER4)), 17), FOUR),
        (ip4(udp(9, 2152, gtp(INNER6)), 17), SIX),
        (ip4(udp(9, 2152, gtp(INNER4, 0x32)), 17), FOUR),
        (ip4(udp(9, 2152, gtp(INNER4, 0x34, extensions=(1, 2, 1, 1))), 17), FOUR),
        (ip4(udp(9, 2152, gtp(INNER4, 0x34, extensions=(1,) * 5)), 17), None),
        (ip4(udp(9, 2152, gtp(INNER4, 0x34, extensions=(0,))), 17), None),
        (ip4(udp(9, 2152, gtp(INNER4, 0x30, message=1)), 17), None),
        (ip4(udp(9, 2152, gtp(INNER4, 0x50)), 17), None),
        (ip4(udp(9, 2152, gtp(b"\x70" + INNER4)), 17), None),
        (ip4(tcp()), None),
    ],
)
def test_what_a_tunnel_carries(packet: bytes, wanted: tuple[int, int | None, bytes] | None) -> None:
    assert carried(packet) == wanted


@pytest.mark.parametrize(
    "packet",
    [ip6(INNER4, 4), ip6(gre(INNER4, IP4), 47), ip6(udp(9, 4789, vxlan(ethernet(INNER4, IP4))), 17)],
)
def test_tunnels_over_ip6(packet: bytes) -> None:
    assert carried(packet, IP6) == FOUR


def test_levels_go_on_as_long_as_there_are_tunnels() -> None:
    for name, depth in (("IPIP 8 deep", 8), ("GRE 8 deep", 8)):
        packet = Packet(shapes()[name])
        assert [packet.level(n).ip is not None for n in range(depth + 2)] == [True] * (depth + 1) + [False]


def test_no_level_is_behind_the_window() -> None:
    nested = INNER4
    while len(nested) < HEADER_WINDOW + 100:
        nested = ip4(nested, 4)
    packet = Packet(ethernet(nested, IP4))
    levels = [packet.level(n).ip for n in range(40)]
    found = [ip for ip in levels if ip is not None]
    assert all(ip.at + len(ip.header) <= HEADER_WINDOW for ip in found)
    assert len(found) == (HEADER_WINDOW - 14) // 20


def test_a_tunnel_that_is_cut_carries_nothing_or_the_same() -> None:
    for name, frame in shapes().items():
        whole = Packet(frame).level(1).ip
        for size in range(14, len(frame)):
            ip = Packet(frame[:size]).level(1).ip
            assert ip is None or (whole is not None and ip.header == whole.header), name
