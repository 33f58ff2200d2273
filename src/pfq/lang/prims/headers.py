"""Predicates on headers, and for each the filter that passes what the predicate accepts."""

from __future__ import annotations

from pfq.lang.interp import Machine
from pfq.lang.packet import ICMP, ICMP6, TCP, UDP, number
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.rows import any_side, pair, sided
from pfq.lang.prims.table import Prim
from pfq.lang.program import Prefix

TCP_BYTES, UDP_BYTES, ICMP_BYTES = 20, 8, 8


def is_ip(m: Machine, version: int) -> bool:
    return m.headers.ip_of(version) is not None


def is_icmp6(m: Machine) -> bool:
    return m.headers.icmp is not None and is_ip(m, 6)


def is_l4_proto(m: Machine, proto: int) -> bool:
    return m.headers.ip is not None and m.headers.ip.proto == proto


def has_port(m: Machine, port: int, *sides: Side) -> bool:
    ports = m.headers.flow
    if ports is None:
        return False
    found = {"src": number(ports[0:2]), "dst": number(ports[2:4])}
    return any(found[side] == port for side in sides)


def has_addr(m: Machine, prefix: Prefix, *sides: Side) -> bool:
    ip = m.headers.ip_of(prefix.version)
    if ip is None:
        return False
    shift = prefix.network.max_prefixlen - prefix.length
    wanted = number(prefix.bytes) >> shift
    return any(number(ip.src if side == "src" else ip.dst) >> shift == wanted for side in sides)


def lower_l4_proto(e: Emitter, proto: int) -> Code:
    return e.is_l4_proto(proto)


def lower_proto(e: Emitter, proto: int, size: int) -> Code:
    return e.is_transport(proto, size)


def lower_flow(e: Emitter) -> Code:
    return e.either(lower_proto(e, TCP, TCP_BYTES), lower_proto(e, UDP, UDP_BYTES))


def lower_icmp6(e: Emitter) -> Code:
    return e.both(e.is_ip(6), lower_proto(e, ICMP6, ICMP_BYTES))


def lower_icmp(e: Emitter) -> Code:
    return e.either(e.both(e.is_ip(4), lower_proto(e, ICMP, ICMP_BYTES)), lower_icmp6(e))


def lower_port(e: Emitter, port: int, *sides: Side) -> Code:
    offsets = {"src": 0, "dst": 2}
    return e.both(
        lower_flow(e),
        any_side(e, sides, lambda side: e.compare("==", e.load("l4", offsets[side], 2), e.number(port))),
    )


def lower_addr(e: Emitter, prefix: Prefix, *sides: Side) -> Code:
    return any_side(e, sides, lambda side: e.address_in(side, prefix))


ROWS: tuple[Prim, ...] = (
    *pair("is_ip", "ip", "", "is IPv4", lambda m: is_ip(m, 4), lambda e: e.is_ip(4)),
    *pair("is_ip6", "ip6", "", "is IPv6", lambda m: is_ip(m, 6), lambda e: e.is_ip(6)),
    *pair(
        "is_tcp",
        "tcp",
        "",
        "is TCP over IPv4 or IPv6 with its whole header",
        lambda m: m.headers.tcp is not None,
        lambda e: lower_proto(e, TCP, TCP_BYTES),
    ),
    *pair(
        "is_udp",
        "udp",
        "",
        "is UDP over IPv4 or IPv6 with its whole header",
        lambda m: m.headers.udp is not None,
        lambda e: lower_proto(e, UDP, UDP_BYTES),
    ),
    *pair(
        "is_icmp",
        "icmp",
        "",
        "is ICMP over IPv4 or ICMPv6 over IPv6 with 8 bytes of it",
        lambda m: m.headers.icmp is not None,
        lower_icmp,
    ),
    *pair("is_icmp6", "icmp6", "", "is ICMPv6 over IPv6 with 8 bytes of it", is_icmp6, lower_icmp6),
    *pair(
        "is_l4_proto",
        "l4_proto",
        "Word8",
        "is IP with the given protocol, behind any extension headers",
        is_l4_proto,
        lower_l4_proto,
        "47",
    ),
    *pair(
        "is_flow", "flow", "", "is TCP or UDP with its whole header", lambda m: m.headers.flow is not None, lower_flow
    ),
    *sided("port", "Word16", "is TCP or UDP and its {} port is the given one", has_port, lower_port, "443"),
    *sided("addr", "CIDR", "is IP and its {} address lies in the given prefix", has_addr, lower_addr, "10.0.0.0/8"),
)
