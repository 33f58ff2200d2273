"""Steering: which of the eligible end-points gets the packet.

A steering primitive only computes a hash; the table of the group turns it into an end-point.
Hashes XOR header fields as they lie in memory, read as little endian, so that both directions of
a flow have the same hash.
"""

from __future__ import annotations

from pfq.lang.action import ANY_CLASSES, Fanout
from pfq.lang.interp import Machine
from pfq.lang.packet import TCP, UDP, Ip
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.table import Prim

PORTS_BYTES = 8
LIMITED_BROADCAST = b"\xff\xff\xff\xff"


def address_hash(ip: Ip) -> int:
    both = ip.src + ip.dst
    result = 0
    for at in range(0, len(both), 4):
        result ^= int.from_bytes(both[at : at + 4], "little")
    return result


def steer(m: Machine, hashed: int) -> bool:
    m.action.fanout, m.action.hash = Fanout.STEER, hashed
    return True


def steer_flow(m: Machine) -> bool:
    ip = m.packet.ip
    if ip is None:
        return False
    hashed = address_hash(ip)
    if ip.fragment or ip.proto not in (TCP, UDP):
        return steer(m, hashed)
    ports = m.packet.l4(PORTS_BYTES)
    if ports is None:
        return False
    return steer(m, hashed ^ int.from_bytes(ports[0:2], "little") ^ int.from_bytes(ports[2:4], "little"))


def steer_p2p(m: Machine) -> bool:
    ip = m.packet.ip
    if ip is None:
        return False
    if LIMITED_BROADCAST in (ip.src, ip.dst):
        m.action.fanout, m.action.classes = Fanout.COPY, ANY_CLASSES
        return True
    return steer(m, address_hash(ip))


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


def lower_flow(e: Emitter) -> None:
    present, proto = e.l4_proto()
    known = e.either(e.compare("==", proto, e.number(TCP)), e.compare("==", proto, e.number(UDP)))
    by_ports = e.both(e.both(present, known), e.negated(e.is_fragment()))

    def with_ports() -> None:
        ports = e.xor(e.load_raw("l4", 0, 2), e.load_raw("l4", 2, 2))
        e.fanout(Fanout.STEER, e.xor(lower_addresses(e), ports))

    def hashed() -> None:
        e.branch(
            by_ports,
            lambda: e.branch(e.has_l4(PORTS_BYTES), with_ports, e.drop),
            lambda: e.fanout(Fanout.STEER, lower_addresses(e)),
        )

    e.branch(any_ip(e), hashed, e.drop)


def lower_p2p(e: Emitter) -> None:
    limited = e.number(int.from_bytes(LIMITED_BROADCAST, "big"))
    to_all = e.both(
        e.is_ip(4),
        e.either(e.compare("==", e.load("ip4", 12, 4), limited), e.compare("==", e.load("ip4", 16, 4), limited)),
    )

    def broadcast() -> None:
        e.fanout(Fanout.COPY)
        e.classes(ANY_CLASSES)

    e.branch(
        any_ip(e),
        lambda: e.branch(to_all, broadcast, lambda: e.fanout(Fanout.STEER, lower_addresses(e))),
        e.drop,
    )


ROWS: tuple[Prim, ...] = (
    Prim(
        name="steer_flow",
        type="Packet -> Action Packet",
        doc="Steers both directions of a TCP or UDP flow to one end-point, other IP packets and fragments by "
        "address pair, and drops what is not IP.",
        run=steer_flow,
        lower=lower_flow,
        example="ip >-> steer_flow",
        family="steering",
    ),
    Prim(
        name="steer_p2p",
        type="Packet -> Action Packet",
        doc="Steers both directions between two IP addresses to one end-point, sends limited broadcasts to all, "
        "and drops what is not IP.",
        run=steer_p2p,
        lower=lower_p2p,
        example="steer_p2p",
        family="steering",
    ),
    Prim(
        name="steer_rrobin",
        type="Packet -> Action Packet",
        doc="Steers packets to the end-points in turn, each CPU for itself, by their weights.",
        run=turn,
        lower=lambda e: e.fanout(Fanout.ROBIN),
        example="udp >-> steer_rrobin",
        family="steering",
    ),
    Prim(
        name="steer_to",
        type="CInt -> Packet -> Action Packet",
        doc="Steers to end-point number `n modulo members` of the eligible ones in ascending order.",
        run=steer_to,
        lower=lambda e, number: e.fanout(Fanout.MEMBER, e.number(number)),
        example="when is_icmp (steer_to 0)",
        family="steering",
        check=lambda number: None if number >= 0 else f"there is no end-point number {number}",
    ),
)
