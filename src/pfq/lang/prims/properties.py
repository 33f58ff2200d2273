"""Properties: numbers read from a header, absent when the header is."""

from __future__ import annotations

from collections.abc import Callable

from pfq.lang.interp import Machine
from pfq.lang.packet import TCP, UDP, number
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.headers import TCP_BYTES, UDP_BYTES, lower_proto
from pfq.lang.prims.table import Prim


def row(
    name: str, doc: str, run: Callable[[Machine], int | None], lower: Callable[[Emitter], tuple[Code, Code]]
) -> Prim:
    return Prim(
        name=name,
        type="Packet -> Word64",
        doc=doc,
        run=run,
        lower=lower,
        example=f"filter ({name} .> 10)",
        family="property",
    )


def ip4(name: str, offset: int, size: int, doc: str) -> Prim:
    """A number in the IPv4 header."""

    def run(m: Machine) -> int | None:
        ip = m.packet.ip_of(4)
        return None if ip is None else number(ip.header[offset : offset + size])

    return row(name, doc, run, lambda e: (e.is_ip(4), e.load("ip4", offset, size)))


def l4(name: str, proto: int, whole: int, offset: int, size: int, doc: str) -> Prim:
    """A number in a layer 4 header of `whole` bytes."""

    def run(m: Machine) -> int | None:
        header = m.packet.transport(proto, whole)
        return None if header is None else number(header[offset : offset + size])

    return row(name, doc, run, lambda e: (lower_proto(e, proto, whole), e.load("l4", offset, size)))


ROWS: tuple[Prim, ...] = (
    ip4("ip_tot_len", 2, 2, "Total length of the IPv4 packet, header included, in bytes."),
    ip4("ip_ttl", 8, 1, "IPv4 time to live, in hops."),
    l4("tcp_source", TCP, TCP_BYTES, 0, 2, "TCP source port."),
    l4("tcp_dest", TCP, TCP_BYTES, 2, 2, "TCP destination port."),
    l4("udp_source", UDP, UDP_BYTES, 0, 2, "UDP source port."),
    l4("udp_dest", UDP, UDP_BYTES, 2, 2, "UDP destination port."),
)
