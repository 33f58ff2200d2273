"""Predicates and filters on whom a packet is for: broadcast, multicast and the addresses of this host."""

from __future__ import annotations

from ipaddress import ip_address

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.headers import has_addr, lower_addr
from pfq.lang.prims.link import has_group_mac, lower_group_mac
from pfq.lang.prims.rows import any_side, pair
from pfq.lang.prims.table import Prim
from pfq.lang.program import Prefix

LIMITED_BROADCAST = Prefix.parse("255.255.255.255")
MULTICAST4, MULTICAST6 = Prefix.parse("224.0.0.0/4"), Prefix.parse("ff00::/8")


def is_ip_multicast(m: Machine) -> bool:
    return has_addr(m, MULTICAST4, *m.sides) or has_addr(m, MULTICAST6, *m.sides)


def is_ip_host(m: Machine) -> bool:
    ip = m.headers.ip
    if ip is None:
        return False
    addresses = {"src": ip.src, "dst": ip.dst}
    return any(ip_address(addresses[side]) in m.world.hosts for side in m.sides)


def lower_ip_multicast(e: Emitter) -> Code:
    return e.either(lower_addr(e, MULTICAST4, *e.sides), lower_addr(e, MULTICAST6, *e.sides))


def lower_ip_host(e: Emitter) -> Code:
    return any_side(e, e.sides, e.address_is_ours)


ROWS: tuple[Prim, ...] = (
    *pair(
        "is_ip_broadcast",
        "ip_broadcast",
        "",
        "has the source or destination address 255.255.255.255",
        lambda m: has_addr(m, LIMITED_BROADCAST, *m.sides),
        lambda e: lower_addr(e, LIMITED_BROADCAST, *e.sides),
    ),
    *pair(
        "is_ip_multicast",
        "ip_multicast",
        "",
        "has a source or destination address in 224.0.0.0/4 or ff00::/8",
        is_ip_multicast,
        lower_ip_multicast,
    ),
    *pair(
        "is_ip_host",
        "ip_host",
        "",
        "has an address of the receiving device as source or destination address",
        is_ip_host,
        lower_ip_host,
    ),
    *pair(
        "is_incoming_host",
        "incoming_host",
        "",
        "goes to a broadcast or multicast MAC address, or has an address of the receiving device",
        lambda m: has_group_mac(m, "dst") or is_ip_host(m),
        lambda e: e.either(lower_group_mac(e, "dst"), lower_ip_host(e)),
    ),
)
