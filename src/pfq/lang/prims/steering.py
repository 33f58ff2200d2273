"""Steering: which of the eligible end-points gets the packet.

A steering primitive only computes a hash; the table of the group turns it into an end-point.
Hashes XOR header fields as they lie in memory, read as little endian, so that both directions of
a flow have the same hash. Only `steer_rss` tells the directions apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import xor

from pfq.lang.action import Fanout
from pfq.lang.interp import Machine
from pfq.lang.packet import TCP, UDP, Ip
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.forward import broadcast, lower_broadcast
from pfq.lang.prims.headers import lower_l4_proto
from pfq.lang.prims.rows import Check
from pfq.lang.prims.table import Prim

PORTS_BYTES = 8
LIMITED_BROADCAST = b"\xff\xff\xff\xff"
WORD64 = (1 << 64) - 1

RSS_FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Odd random numbers: the upper half of a sum of products with them spreads well over 32 bits."""


def raw(data: bytes) -> int:
    """Bytes as they lie in memory as a number."""
    return int.from_bytes(data, "little")


def folded(addresses: bytes) -> int:
    """XOR of the 32-bit words of one address or more."""
    return reduce(xor, (raw(addresses[at : at + 4]) for at in range(0, len(addresses), 4)))


def is_tcp_or_udp(ip: Ip) -> bool:
    return ip.proto in (TCP, UDP)


def has_ports(ip: Ip) -> bool:
    """The packet is steered by its ports. Fragments are not, so that a datagram stays together."""
    return is_tcp_or_udp(ip) and not ip.fragment


def is_limited(ip: Ip) -> bool:
    """The packet is a limited broadcast."""
    return LIMITED_BROADCAST in (ip.src, ip.dst)


def steer(m: Machine, hashed: int) -> bool:
    m.action.fanout, m.action.hash = Fanout.STEER, hashed
    return True


def double(m: Machine, first: int, second: int) -> bool:
    m.action.fanout, m.action.hash, m.action.hash2 = Fanout.DOUBLE, first, second
    return True


def steer_flow(m: Machine) -> bool:
    ip = m.headers.ip
    if ip is None:
        return False
    if not has_ports(ip):
        return steer(m, folded(ip.src + ip.dst))
    ports = m.headers.l4(PORTS_BYTES)
    if ports is None:
        return False
    return steer(m, folded(ip.src + ip.dst) ^ raw(ports[0:2]) ^ raw(ports[2:4]))


def steer_p2p(m: Machine) -> bool:
    ip = m.headers.ip
    if ip is None:
        return False
    return broadcast(m) if is_limited(ip) else steer(m, folded(ip.src + ip.dst))


def steer_rss(m: Machine) -> bool:
    ip = m.headers.ip
    if ip is None:
        return steer(m, 0)
    ports = m.headers.l4(PORTS_BYTES) if has_ports(ip) else None
    words = folded(ip.src), folded(ip.dst), (ip.proto or 0) << 32 | raw(ports[0:4]) if ports else 0
    total = sum(factor * word for factor, word in zip(RSS_FACTORS, words, strict=True))
    return steer(m, (total & WORD64) >> 32)


def turn(m: Machine) -> bool:
    m.action.fanout = Fanout.ROBIN
    return True


def steer_to(m: Machine, number: int) -> bool:
    m.action.fanout, m.action.hash = Fanout.MEMBER, number
    return True


def any_ip(e: Emitter) -> Code:
    return e.either(e.is_ip(4), e.is_ip(6))


def lower_addresses(e: Emitter) -> Code:
    return e.xor(e.address_hash("src"), e.address_hash("dst"))


def lower_is_tcp_or_udp(e: Emitter) -> Code:
    return e.either(lower_l4_proto(e, TCP), lower_l4_proto(e, UDP))


def lower_has_ports(e: Emitter) -> Code:
    return e.both(lower_is_tcp_or_udp(e), e.negated(e.is_fragment()))


def lower_is_limited(e: Emitter) -> Code:
    limited = e.number(raw(LIMITED_BROADCAST))
    hits = (e.compare("==", e.load_raw("ip4", offset, 4), limited) for offset in (12, 16))
    return e.both(e.is_ip(4), reduce(e.either, hits))


def lower_flow(e: Emitter) -> None:
    def with_ports() -> None:
        ports = e.xor(e.load_raw("l4", 0, 2), e.load_raw("l4", 2, 2))
        e.fanout(Fanout.STEER, e.xor(lower_addresses(e), ports))

    def without_ports() -> None:
        e.branch(
            e.both(any_ip(e), e.negated(lower_has_ports(e))),
            lambda: e.fanout(Fanout.STEER, lower_addresses(e)),
            e.drop,
        )

    shown = e.either(e.is_transport(TCP, PORTS_BYTES), e.is_transport(UDP, PORTS_BYTES))
    e.branch(e.both(shown, e.negated(e.is_fragment())), with_ports, without_ports)


def lower_p2p(e: Emitter) -> None:
    e.branch(
        any_ip(e),
        lambda: e.branch(
            lower_is_limited(e), lambda: lower_broadcast(e), lambda: e.fanout(Fanout.STEER, lower_addresses(e))
        ),
        e.drop,
    )


def lower_rss(e: Emitter) -> None:
    shown = e.both(lower_has_ports(e), e.has_l4(PORTS_BYTES))
    ports = e.or_bits(e.shl(e.l4_proto()[1], 32), e.load_raw("l4", 0, 4))
    words = e.address_hash("src"), e.address_hash("dst"), e.select(shown, ports, e.number(0))
    products = (e.mul(word, e.number(factor)) for factor, word in zip(RSS_FACTORS, words, strict=True))
    e.fanout(Fanout.STEER, e.shr(reduce(e.add, products), 32))


def row(
    name: str,
    arguments: str,
    doc: str,
    run: Callable[..., bool],
    lower: Callable[..., None],
    example: str,
    check: Check | None = None,
) -> Prim:
    """The row of a steering primitive.

    arguments  types of its arguments, as in `CInt -> `; "" for none
    """
    return Prim(
        name=name,
        type=f"{arguments}Packet -> Action Packet",
        doc=doc,
        run=run,
        lower=lower,
        example=example,
        family="steering",
        check=check,
    )


ROWS: tuple[Prim, ...] = (
    row(
        "steer_flow",
        "",
        "Steers both directions of a TCP or UDP flow to one end-point, other IP packets and fragments by "
        "address pair, and drops what is not IP.",
        steer_flow,
        lower_flow,
        "ip >-> steer_flow",
    ),
    row(
        "steer_p2p",
        "",
        "Steers both directions between two IP addresses to one end-point, sends limited broadcasts to all, "
        "and drops what is not IP.",
        steer_p2p,
        lower_p2p,
        "steer_p2p",
    ),
    row(
        "steer_rss",
        "",
        "Steers each direction of a TCP or UDP flow for itself, other IP packets and fragments by their two "
        "addresses, and all that is not IP to one end-point.",
        steer_rss,
        lower_rss,
        "steer_rss",
    ),
    row(
        "steer_rrobin",
        "",
        "Steers packets to the end-points in turn, each CPU for itself, by their weights.",
        turn,
        lambda e: e.fanout(Fanout.ROBIN),
        "udp >-> steer_rrobin",
    ),
    row(
        "steer_to",
        "CInt -> ",
        "Steers to end-point number `n modulo members` of the eligible ones in ascending order.",
        steer_to,
        lambda e, number: e.fanout(Fanout.MEMBER, e.number(number)),
        "when is_icmp (steer_to 0)",
        check=lambda number: None if number >= 0 else f"there is no end-point number {number}",
    ),
)
