"""Predicates and filters on the Ethernet header, always the outermost one: EtherType and MAC addresses."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.packet import ETHERNET_BYTES, VLAN_TYPES
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.rows import any_side, pair, predicate
from pfq.lang.prims.table import Prim

MAC_BYTES = 6
MAC_OFFSETS: dict[Side, int] = {"dst": 0, "src": MAC_BYTES}
BROADCAST = b"\xff" * MAC_BYTES
GROUP_BIT = 1
"""Of the first byte of a MAC address: set in multicast addresses and in the broadcast address."""


def is_l3_proto(m: Machine, ethertype: int) -> bool:
    tag = m.packet.outer_tag
    return m.packet.ethertype == ethertype or (
        ethertype in VLAN_TYPES and tag is not None and tag.ethertype == ethertype
    )


def lower_l3_proto(e: Emitter, ethertype: int) -> Code:
    def equals(present: Code, found: Code) -> Code:
        return e.both(present, e.compare("==", found, e.number(ethertype)))

    behind_tags = equals(*e.ethertype())
    return e.either(behind_tags, equals(*e.tag_type())) if ethertype in VLAN_TYPES else behind_tags


def ethertype_is(name: str, ethertype: int, what: str, *aliases: str) -> Prim:
    """A predicate that stands for one EtherType."""
    return predicate(
        name,
        "",
        f"is {what}: EtherType 0x{ethertype:04x}",
        lambda m: is_l3_proto(m, ethertype),
        lambda e: lower_l3_proto(e, ethertype),
        aliases=aliases,
    )


def mac_addresses(m: Machine, *sides: Side) -> list[bytes]:
    """The MAC addresses of some sides; none when the Ethernet header is cut off."""
    window = m.packet.window
    if len(window) < ETHERNET_BYTES:
        return []
    return [window[MAC_OFFSETS[side] : MAC_OFFSETS[side] + MAC_BYTES] for side in sides]


def is_broadcast(m: Machine) -> bool:
    return BROADCAST in mac_addresses(m, *m.sides)


def has_group_mac(m: Machine, *sides: Side) -> bool:
    return any(mac[0] & GROUP_BIT for mac in mac_addresses(m, *sides))


def lower_broadcast(e: Emitter) -> Code:
    def all_ones(side: Side) -> Code:
        mac = e.shr(e.load("frame", MAC_OFFSETS[side], 8), 16)
        return e.compare("==", mac, e.number(int.from_bytes(BROADCAST, "big")))

    return e.both(e.has_frame(ETHERNET_BYTES), any_side(e, e.sides, all_ones))


def lower_group_mac(e: Emitter, *sides: Side) -> Code:
    def group(side: Side) -> Code:
        return e.compare("!=", e.bits(e.load("frame", MAC_OFFSETS[side], 1), e.number(GROUP_BIT)), e.number(0))

    return e.both(e.has_frame(ETHERNET_BYTES), any_side(e, sides, group))


ROWS: tuple[Prim, ...] = (
    *pair(
        "is_l3_proto",
        "l3_proto",
        "Word16",
        "has the given EtherType behind its VLAN tags, or one of the tags' types in its outer tag",
        is_l3_proto,
        lower_l3_proto,
        "0x0806",
    ),
    ethertype_is("is_arp", 0x0806, "ARP", "is_eth_arp"),
    ethertype_is("is_eth_pup", 0x0200, "Xerox PUP"),
    ethertype_is("is_eth_sprite", 0x0500, "Sprite"),
    ethertype_is("is_eth_ip", 0x0800, "declared to be IPv4"),
    ethertype_is("is_eth_revarp", 0x8035, "Reverse ARP"),
    ethertype_is("is_eth_at", 0x809B, "AppleTalk"),
    ethertype_is("is_eth_aarp", 0x80F3, "AppleTalk ARP"),
    ethertype_is("is_eth_vlan", 0x8100, "tagged by 802.1Q"),
    ethertype_is("is_eth_ipx", 0x8137, "IPX"),
    ethertype_is("is_eth_ipv6", 0x86DD, "declared to be IPv6"),
    ethertype_is("is_eth_loopback", 0x9000, "an Ethernet loopback test"),
    *pair(
        "is_broadcast",
        "mac_broadcast",
        "",
        "has the broadcast address as source or destination MAC address",
        is_broadcast,
        lower_broadcast,
    ),
    *pair(
        "is_multicast",
        "mac_multicast",
        "",
        "has a group address, broadcast included, as source or destination MAC address",
        lambda m: has_group_mac(m, *m.sides),
        lambda e: lower_group_mac(e, *e.sides),
    ),
)
