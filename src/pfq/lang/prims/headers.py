"""Predicates on headers, and for each the filter that passes what the predicate accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pfq.lang.interp import Machine
from pfq.lang.packet import ICMP, ICMP6, TCP, UDP, number
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.table import Prim
from pfq.lang.program import Prefix

TCP_BYTES, UDP_BYTES, ICMP_BYTES = 20, 8, 8


def is_ip(m: Machine, version: int) -> bool:
    return m.packet.ip_of(version) is not None


def has_port(m: Machine, port: int, *sides: Side) -> bool:
    ports = m.packet.flow
    if ports is None:
        return False
    found = {"src": number(ports[0:2]), "dst": number(ports[2:4])}
    return any(found[side] == port for side in sides)


def has_addr(m: Machine, prefix: Prefix, *sides: Side) -> bool:
    ip = m.packet.ip_of(prefix.version)
    if ip is None:
        return False
    shift = prefix.network.max_prefixlen - prefix.length
    wanted = number(prefix.bytes) >> shift
    return any(number(ip.src if side == "src" else ip.dst) >> shift == wanted for side in sides)


def lower_proto(e: Emitter, proto: int, size: int) -> Code:
    present, found = e.l4_proto()
    return e.both(e.both(present, e.compare("==", found, e.number(proto))), e.has_l4(size))


def lower_flow(e: Emitter) -> Code:
    return e.either(lower_proto(e, TCP, TCP_BYTES), lower_proto(e, UDP, UDP_BYTES))


def lower_icmp(e: Emitter) -> Code:
    v4 = e.both(e.is_ip(4), lower_proto(e, ICMP, ICMP_BYTES))
    return e.either(v4, e.both(e.is_ip(6), lower_proto(e, ICMP6, ICMP_BYTES)))


def lower_port(e: Emitter, port: int, *sides: Side) -> Code:
    offsets = {"src": 0, "dst": 2}
    hit = e.truth(False)
    for side in sides:
        hit = e.either(hit, e.compare("==", e.load("l4", offsets[side], 2), e.number(port)))
    return e.both(lower_flow(e), hit)


def lower_addr(e: Emitter, prefix: Prefix, *sides: Side) -> Code:
    hit = e.truth(False)
    for side in sides:
        hit = e.either(hit, e.address_in(side, prefix))
    return hit


def pair(
    predicate: str,
    filter_name: str,
    argument: str,
    what: str,
    run: Callable[..., bool],
    lower: Callable[..., Code],
    example: str = "",
) -> tuple[Prim, Prim]:
    """The rows of a predicate and of the filter that passes exactly what it accepts.

    argument  type of the one argument, or "" for none
    what      completes "True when the packet …" and "Passes the packet when it …"
    """
    takes = f"{argument} -> " if argument else ""
    operand = f" {example}" if example else ""

    def lower_filter(e: Emitter, *args: Any) -> None:
        e.branch(lower(e, *args), lambda: None, e.drop)

    return (
        Prim(
            name=predicate,
            type=f"{takes}Packet -> Bool",
            doc=f"True when the packet {what}.",
            run=run,
            lower=lower,
            example=f"when ({predicate}{operand}) kernel",
            family="predicate",
        ),
        Prim(
            name=filter_name,
            type=f"{takes}Packet -> Action Packet",
            doc=f"Passes the packet when it {what}, drops it otherwise.",
            run=run,
            lower=lower_filter,
            example=f"{filter_name}{operand} >-> steer_flow",
            family="filter",
        ),
    )


def sided(
    noun: str, argument: str, what: str, run: Callable[..., bool], lower: Callable[..., Code], example: str
) -> tuple[Prim, ...]:
    """Predicate and filter for either side, for the source and for the destination."""

    def rows(prefix: str, where: str, *sides: Side) -> tuple[Prim, Prim]:
        return pair(
            f"has_{prefix}{noun}",
            f"{prefix}{noun}",
            argument,
            what.format(where),
            lambda m, value: run(m, value, *sides),
            lambda e, value: lower(e, value, *sides),
            example,
        )

    return (
        *rows("", "source or destination", "src", "dst"),
        *rows("src_", "source", "src"),
        *rows("dst_", "destination", "dst"),
    )


ROWS: tuple[Prim, ...] = (
    *pair("is_ip", "ip", "", "is IPv4", lambda m: is_ip(m, 4), lambda e: e.is_ip(4)),
    *pair("is_ip6", "ip6", "", "is IPv6", lambda m: is_ip(m, 6), lambda e: e.is_ip(6)),
    *pair(
        "is_tcp",
        "tcp",
        "",
        "is TCP over IPv4 or IPv6 with its whole header",
        lambda m: m.packet.tcp is not None,
        lambda e: lower_proto(e, TCP, TCP_BYTES),
    ),
    *pair(
        "is_udp",
        "udp",
        "",
        "is UDP over IPv4 or IPv6 with its whole header",
        lambda m: m.packet.udp is not None,
        lambda e: lower_proto(e, UDP, UDP_BYTES),
    ),
    *pair(
        "is_icmp",
        "icmp",
        "",
        "is ICMP over IPv4 or ICMPv6 over IPv6 with 8 bytes of it",
        lambda m: m.packet.icmp is not None,
        lower_icmp,
    ),
    *pair(
        "is_flow", "flow", "", "is TCP or UDP with its whole header", lambda m: m.packet.flow is not None, lower_flow
    ),
    *sided("port", "Word16", "is TCP or UDP and its {} port is the given one", has_port, lower_port, "443"),
    *sided("addr", "CIDR", "is IP and its {} address lies in the given prefix", has_addr, lower_addr, "10.0.0.0/8"),
)
