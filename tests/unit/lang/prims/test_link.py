"""EtherTypes and MAC addresses of the outermost Ethernet header."""

from __future__ import annotations

import pytest
from support.frames import ethernet, ip4, tcp
from support.handmade import ARP, FRAMES, IP4, IP6, QTAG, STAG, accepted, ask, passed, passing, v4, with_macs

from pfq.lang.packet import Tag
from pfq.lang.prims import PRIMS
from pfq.lang.prims.link import ROWS

ALL_ONES, GROUP, ONE_HOST, OTHER_HOST = "ffffffffffff", "01005e000001", "020000000001", "fe0000000002"
IP6_TYPED = {name for name in FRAMES if name.split()[0] in ("tcp6", "udp6", "icmp6", "ip6")}
IP6_TYPED = IP6_TYPED - {"icmp6 over ip4"} | {"icmp4 over ip6"}

ACCEPTED = {
    "is_l3_proto 0x0806": {"arp"},
    "is_l3_proto 0x86dd": IP6_TYPED,
    "is_l3_proto 43": {"llc"},
    "is_l3_proto 0x8100": {"tcp4 one tag", "tcp4 three tags", "tag alone"},
    "is_l3_proto 0x88a8": {"tcp4 two tags"},
    "is_l3_proto 0x9100": {"tcp4 other tag"},
    "is_l3_proto 0": set(),
    "is_l3_proto 0xffff": set(),
}


@pytest.mark.parametrize(("predicate", "names"), ACCEPTED.items(), ids=list(ACCEPTED))
def test_s37_ethertypes_behind_the_tags(predicate: str, names: set[str]) -> None:
    assert accepted(predicate) == names
    assert passing(predicate.removeprefix("is_")) == names


def test_s37_the_type_of_ip4_is_seen_behind_two_tags() -> None:
    found = accepted("is_l3_proto 0x0800")
    assert {"tcp4", "tcp4 one tag", "tcp4 two tags", "ethernet alone", "ip4 19 bytes", "ip4 type with ip6"} <= found
    assert not found & {"tcp4 three tags", "tcp4 other tag", "tag alone", "arp", "tcp6", "nothing", "runt"}


@pytest.mark.parametrize("kind", [QTAG, STAG])
@pytest.mark.parametrize("where", ["frame", "device"])
def test_the_type_of_the_outer_tag_counts_wherever_the_tag_is(kind: int, where: str) -> None:
    tag = Tag(kind, 5) if where == "device" else None
    frame = FRAMES["tcp4"] if tag else v4(tcp(), tags=[(kind, 5)])
    other = QTAG + STAG - kind
    assert ask("is_l3_proto", frame, kind, tag=tag)
    assert not ask("is_l3_proto", frame, other, tag=tag)
    assert ask("is_l3_proto", frame, IP4, tag=tag)
    assert ask("is_eth_vlan", frame, tag=tag) is (kind == QTAG)


def test_an_inner_tag_has_no_type_of_its_own() -> None:
    frame = v4(tcp(), tags=[(STAG, 9), (QTAG, 5)])
    assert not passed("l3_proto 0x8100", frame)
    assert not passed("l3_proto 0x8100", v4(tcp(), tags=[(QTAG, 5)]), tag=Tag(STAG, 9))


def test_no_other_type_of_tag_counts() -> None:
    assert not passed("l3_proto 0x9100", FRAMES["tcp4"], tag=Tag(0x9100, 5))


def test_a_third_tag_is_what_lies_behind_two() -> None:
    assert passed("l3_proto 0x88a8", v4(tcp(), tags=[(QTAG, 1), (QTAG, 2), (STAG, 3)]))
    assert passed("l3_proto 0x88a8", v4(tcp(), tags=[(QTAG, 2), (STAG, 3)]), tag=Tag(QTAG, 1))


@pytest.mark.parametrize("size", range(19))
def test_a_cut_ethertype_is_none(size: int) -> None:
    tagged, plain = ethernet(ip4(), IP4, [(QTAG, 5)])[:size], ethernet(ip4(), IP4)[:size]
    assert ask("is_l3_proto", tagged, IP4) is (size >= 18)
    assert ask("is_l3_proto", tagged, QTAG) is (size >= 16)
    assert ask("is_l3_proto", plain, IP4) is (size >= 14)


CONSTANTS = {
    "is_eth_pup": 0x0200,
    "is_eth_sprite": 0x0500,
    "is_eth_ip": 0x0800,
    "is_eth_arp": 0x0806,
    "is_eth_revarp": 0x8035,
    "is_eth_at": 0x809B,
    "is_eth_aarp": 0x80F3,
    "is_eth_vlan": 0x8100,
    "is_eth_ipx": 0x8137,
    "is_eth_ipv6": 0x86DD,
    "is_eth_loopback": 0x9000,
    "is_arp": 0x0806,
}


@pytest.mark.parametrize(("name", "ethertype"), CONSTANTS.items(), ids=list(CONSTANTS))
def test_ethertypes_with_a_name(name: str, ethertype: int) -> None:
    frames = {kind: ethernet(bytes(46), kind) for kind in CONSTANTS.values()}
    assert {kind for kind, frame in frames.items() if passed(f"filter {name}", frame)} == {ethertype}
    assert passed(f"filter {name}", ethernet(bytes(46), ethertype, [(QTAG, 5)]))


def test_the_old_name_of_arp_is_an_alias() -> None:
    assert PRIMS["is_eth_arp"] is PRIMS["is_arp"]


MACS = [
    # destination, source: is_broadcast by both, source, destination; is_multicast by the same
    (ALL_ONES, ONE_HOST, (True, False, True), (True, False, True)),
    (ONE_HOST, ALL_ONES, (True, True, False), (True, True, False)),
    (GROUP, ONE_HOST, (False, False, False), (True, False, True)),
    (ONE_HOST, GROUP, (False, False, False), (True, True, False)),
    (OTHER_HOST, ONE_HOST, (False, False, False), (False, False, False)),
    ("fffffffffffe", ONE_HOST, (False, False, False), (True, False, True)),
    ("feffffffffff", "00ffffffffff", (False, False, False), (False, False, False)),
    ("ffffffffff7f", "ff7fffffffff", (False, False, False), (True, True, True)),
]


@pytest.mark.parametrize(("dst", "src", "broadcast", "multicast"), MACS)
def test_s33_s34_broadcast_and_multicast_mac_addresses(
    dst: str, src: str, broadcast: tuple[bool, ...], multicast: tuple[bool, ...]
) -> None:
    frame = with_macs(FRAMES["arp"], dst, src)
    for names, wanted in (
        (("is_broadcast", "mac_broadcast"), broadcast),
        (("is_multicast", "mac_multicast"), multicast),
    ):
        for name in names:
            found = tuple(ask(name, frame, sides=sides) for sides in (("src", "dst"), ("src",), ("dst",)))
            assert found == wanted, name
    assert passed("mac_broadcast", frame) is broadcast[0]
    assert passed("mac_multicast", frame) is multicast[0]


@pytest.mark.parametrize("name", ["is_broadcast", "is_multicast"])
def test_mac_addresses_need_the_whole_ethernet_header(name: str) -> None:
    frame = with_macs(FRAMES["arp"], ALL_ONES, ALL_ONES)
    assert ask(name, frame[:14])
    assert not ask(name, frame[:13])
    assert not ask(name, frame[:13], tag=Tag(QTAG, 5))


def test_the_ethernet_header_is_the_outermost_one_in_a_tunnel_too() -> None:
    frame = with_macs(v4(ip4(tcp()), 4), GROUP, ONE_HOST)
    assert ask("is_multicast", frame, level=1)
    assert ask("is_l3_proto", frame, IP4, level=3)
    assert not ask("is_l3_proto", frame, IP6, level=1)


def test_all_rows_are_tested_here() -> None:
    pairs = {"is_l3_proto", "l3_proto", "is_broadcast", "mac_broadcast", "is_multicast", "mac_multicast"}
    assert {prim.name for prim in ROWS} == pairs | (set(CONSTANTS) - {"is_eth_arp"})


def test_arp_in_a_tagged_frame() -> None:
    assert passed("filter is_arp", ethernet(bytes(28), ARP, [(STAG, 1), (QTAG, 2)]))
    assert not passed("filter is_arp", FRAMES["tcp4"])
