"""Steering by the addresses of hosts: to the end-points of both, or of those in a local network."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, ip_address

from pfq.lang.action import Fanout
from pfq.lang.interp import Machine
from pfq.lang.packet import Ip
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.forward import broadcast, lower_broadcast
from pfq.lang.prims.steering import any_ip, double, folded, is_limited, lower_is_limited, raw, row, steer
from pfq.lang.prims.table import Prim
from pfq.lang.program import Prefix

ADDRESS_BITS = 32
OFFSETS = {"src": 12, "dst": 16}


def network(net: int, length: int) -> Prefix:
    """The IPv4 prefix of this length in which an address lies."""
    return Prefix(IPv4Network((net, length), strict=False))


def check_network(net: int, length: int) -> str | None:
    if 0 <= length <= ADDRESS_BITS:
        return None
    return f"there is no IPv4 prefix {IPv4Address(net)}/{length}: its length must be 0 to {ADDRESS_BITS}"


def check_subnets(net: int, length: int, subnets: int) -> str | None:
    if (fault := check_network(net, length)) is not None:
        return fault
    if length <= subnets <= ADDRESS_BITS:
        return None
    return f"a network of length {length} has no parts of length {subnets}: give {length} to {ADDRESS_BITS}"


def mask(length: int) -> int:
    """The mask of a prefix length, for addresses as they lie in memory."""
    return raw(IPv4Network((0, length)).netmask.packed)


def by_local(m: Machine, ip: Ip | None, prefix: Prefix, hashed: Callable[[bytes], int] = folded) -> bool:
    """Steers by the addresses that lie in the prefix: to two end-points for both, to none for none."""
    local = [] if ip is None else [hashed(a) for a in (ip.src, ip.dst) if ip_address(a) in prefix.network]
    match local:
        case [one]:
            return steer(m, one)
        case [source, destination]:
            return double(m, source, destination)
        case _:
            return False


def lower_by_local(e: Emitter, prefix: Prefix, hashed: Callable[[Side], Code]) -> None:
    from_here, to_here = e.address_in("src", prefix), e.address_in("dst", prefix)
    source, destination = hashed("src"), hashed("dst")
    e.branch(
        e.both(from_here, to_here),
        lambda: e.fanout(Fanout.DOUBLE, source, destination),
        lambda: e.branch(
            e.either(from_here, to_here),
            lambda: e.fanout(Fanout.STEER, e.select(from_here, source, destination)),
            e.drop,
        ),
    )


def double_steer_ip(m: Machine) -> bool:
    ip = m.headers.ip
    if ip is None:
        return False
    return broadcast(m) if is_limited(ip) else double(m, folded(ip.src), folded(ip.dst))


def lower_double(e: Emitter) -> None:
    def both_hosts() -> None:
        e.fanout(Fanout.DOUBLE, e.address_hash("src"), e.address_hash("dst"))

    e.branch(any_ip(e), lambda: e.branch(lower_is_limited(e), lambda: lower_broadcast(e), both_hosts), e.drop)


def steer_local_ip(m: Machine, prefix: Prefix) -> bool:
    ip = m.headers.ip_of(prefix.version)
    return broadcast(m) if ip is not None and is_limited(ip) else by_local(m, ip, prefix)


def lower_local_ip(e: Emitter, prefix: Prefix) -> None:
    if prefix.version == 6:
        lower_by_local(e, prefix, e.address_hash)
    else:
        lower_local(e, prefix, e.address_hash)


def lower_local(e: Emitter, prefix: Prefix, hashed: Callable[[Side], Code]) -> None:
    e.branch(lower_is_limited(e), lambda: lower_broadcast(e), lambda: lower_by_local(e, prefix, hashed))


def steer_local_net(m: Machine, net: int, length: int, subnets: int) -> bool:
    ip, bits = m.headers.ip_of(4), mask(subnets)
    if ip is not None and is_limited(ip):
        return broadcast(m)
    return by_local(m, ip, network(net, length), lambda address: raw(address) & bits)


def lower_local_net(e: Emitter, net: int, length: int, subnets: int) -> None:
    def hashed(side: Side) -> Code:
        return e.bits(e.load_raw("ip4", OFFSETS[side], 4), e.number(mask(subnets)))

    lower_local(e, network(net, length), hashed)


ROWS: tuple[Prim, ...] = (
    row(
        "double_steer_ip",
        "",
        "Steers to the end-points of the source and of the destination address, sends limited broadcasts to all, "
        "and drops what is not IP.",
        double_steer_ip,
        lower_double,
        "double_steer_ip",
    ),
    row(
        "steer_local_ip",
        "CIDR -> ",
        "Steers by the addresses that lie in the prefix, to both end-points when both do, sends limited "
        "broadcasts to all when the prefix is IPv4, and drops the rest.",
        steer_local_ip,
        lower_local_ip,
        "steer_local_ip 192.168.0.0/16",
    ),
    row(
        "steer_local_net",
        "IPv4 -> CInt -> CInt -> ",
        "Steers as `steer_local_ip` by an IPv4 network and its prefix length, and keeps together the hosts of "
        "each of its parts with the longer prefix length given last.",
        steer_local_net,
        lower_local_net,
        "steer_local_net 192.168.0.0 16 24",
        check=check_subnets,
    ),
)
