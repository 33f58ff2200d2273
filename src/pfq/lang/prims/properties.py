"""Properties: numbers read from a header, absent when the header is, and numbers of the packet itself."""

from __future__ import annotations

from collections.abc import Callable

from pfq.lang.interp import Machine
from pfq.lang.packet import TCP, UDP, Ip, number
from pfq.lang.prims.emitter import Code, Emitter
from pfq.lang.prims.headers import TCP_BYTES, UDP_BYTES, lower_flow, lower_icmp, lower_proto
from pfq.lang.prims.table import Prim

DATA_OFFSET = 12
"""Where the TCP header says how long it is, in the upper four bits."""
FLOW_LABEL_BITS = 0x000FFFFF
DSCP_BITS, ECN_BITS = 0x3F, 0x03


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
        ip = m.headers.ip_of(4)
        return None if ip is None else number(ip.header[offset : offset + size])

    return row(name, doc, run, lambda e: (e.is_ip(4), e.load("ip4", offset, size)))


def any_ip(name: str, doc: str, read: Callable[[Ip], int], lower: Callable[[Emitter], Code]) -> Prim:
    """A number that IPv4 and IPv6 headers have in different places."""

    def run(m: Machine) -> int | None:
        return None if m.headers.ip is None else read(m.headers.ip)

    return row(name, doc, run, lambda e: (e.either(e.is_ip(4), e.is_ip(6)), lower(e)))


def l4(name: str, proto: int, whole: int, offset: int, size: int, doc: str) -> Prim:
    """A number in a layer 4 header of `whole` bytes."""

    def run(m: Machine) -> int | None:
        header = m.headers.transport(proto, whole)
        return None if header is None else number(header[offset : offset + size])

    return row(name, doc, run, lambda e: (lower_proto(e, proto, whole), e.load("l4", offset, size)))


def icmp(name: str, offset: int, doc: str) -> Prim:
    """A byte of the ICMP or ICMPv6 header."""

    def run(m: Machine) -> int | None:
        header = m.headers.icmp
        return None if header is None else header[offset]

    return row(name, doc, run, lambda e: (lower_icmp(e), e.load("l4", offset, 1)))


def always(name: str, doc: str, run: Callable[[Machine], int], lower: Callable[[Emitter], Code]) -> Prim:
    """A number that every packet has."""
    return row(name, doc, run, lambda e: (e.truth(True), lower(e)))


def flow_label(m: Machine) -> int | None:
    ip = m.headers.ip_of(6)
    return None if ip is None else number(ip.header[0:4]) & FLOW_LABEL_BITS


def lower_flow_label(e: Emitter) -> tuple[Code, Code]:
    return e.is_ip(6), e.bits(e.load("ip6", 0, 4), e.number(FLOW_LABEL_BITS))


def lower_hop(e: Emitter) -> Code:
    # a header of the other version reads as 0
    return e.or_bits(e.load("ip4", 8, 1), e.load("ip6", 7, 1))


def traffic_class(ip: Ip) -> int:
    """The byte of DSCP and ECN."""
    return ip.header[1] if ip.version == 4 else number(ip.header[0:2]) >> 4 & 0xFF


def lower_traffic_class(e: Emitter) -> Code:
    """The same; above it lies the version of an IPv6 packet."""
    return e.or_bits(e.load("ip4", 1, 1), e.shr(e.load("ip6", 0, 2), 4))


def tcp_header_length(header: bytes) -> int:
    return (header[DATA_OFFSET] >> 4) * 4


def lower_tcp_header_length(e: Emitter) -> Code:
    return e.shl(e.shr(e.load("l4", DATA_OFFSET, 1), 4), 2)


def tcp_hdrlen(m: Machine) -> int | None:
    return None if m.headers.tcp is None else tcp_header_length(m.headers.tcp)


def payload_len(m: Machine) -> int | None:
    ip, header = m.headers.ip, m.headers.flow
    if ip is None or ip.l4 is None or header is None:
        return None
    own = tcp_header_length(header) if ip.proto == TCP else UDP_BYTES
    return max(0, ip.length - (ip.l4 - ip.at) - own)


def lower_payload_len(e: Emitter) -> tuple[Code, Code]:
    own = e.select(lower_proto(e, TCP, TCP_BYTES), lower_tcp_header_length(e), e.number(UDP_BYTES))
    headers = e.add(e.l4_offset(), own)
    length = e.select(e.is_ip(4), e.load("ip4", 2, 2), e.add(e.load("ip6", 4, 2), e.number(40)))
    rest = e.select(e.compare(">", length, headers), e.sub(length, headers), e.number(0))
    return lower_flow(e), rest


ROWS: tuple[Prim, ...] = (
    ip4("ip_tos", 1, 1, "Type of service of the IPv4 packet, all 8 bits."),
    ip4("ip_tot_len", 2, 2, "Total length of the IPv4 packet, header included, in bytes."),
    ip4("ip_id", 4, 2, "Identification of the IPv4 datagram."),
    ip4("ip_frag", 6, 2, "Flags and fragment offset of the IPv4 packet, as one number of 16 bits."),
    ip4("ip_ttl", 8, 1, "IPv4 time to live, in hops."),
    row("ip6_flow_label", "Flow label of the IPv6 packet, 20 bits.", flow_label, lower_flow_label),
    any_ip(
        "ip_hop",
        "Hops that the packet may still make: IPv4 time to live or IPv6 hop limit.",
        lambda ip: ip.header[8 if ip.version == 4 else 7],
        lower_hop,
    ),
    any_ip(
        "ip_dscp",
        "Differentiated services code point of the IPv4 or IPv6 packet, 6 bits.",
        lambda ip: traffic_class(ip) >> 2,
        lambda e: e.bits(e.shr(lower_traffic_class(e), 2), e.number(DSCP_BITS)),
    ),
    any_ip(
        "ip_ecn",
        "Explicit congestion notification of the IPv4 or IPv6 packet, 2 bits.",
        lambda ip: traffic_class(ip) & ECN_BITS,
        lambda e: e.bits(lower_traffic_class(e), e.number(ECN_BITS)),
    ),
    l4("tcp_source", TCP, TCP_BYTES, 0, 2, "TCP source port."),
    l4("tcp_dest", TCP, TCP_BYTES, 2, 2, "TCP destination port."),
    row(
        "tcp_hdrlen",
        "Length of the TCP header by its own word, options included, in bytes.",
        tcp_hdrlen,
        lambda e: (lower_proto(e, TCP, TCP_BYTES), lower_tcp_header_length(e)),
    ),
    l4("tcp_flags", TCP, TCP_BYTES, 13, 1, "TCP flags from CWR (0x80) down to FIN (0x01)."),
    l4("udp_source", UDP, UDP_BYTES, 0, 2, "UDP source port."),
    l4("udp_dest", UDP, UDP_BYTES, 2, 2, "UDP destination port."),
    l4("udp_len", UDP, UDP_BYTES, 4, 2, "Length in the UDP header, the header included, in bytes."),
    icmp("icmp_type", 0, "Type of the ICMP or ICMPv6 message."),
    icmp("icmp_code", 1, "Code of the ICMP or ICMPv6 message."),
    row(
        "payload_len",
        "Bytes behind the TCP or UDP header, by the length in the IP header and the TCP data offset.",
        payload_len,
        lower_payload_len,
    ),
    always(
        "pkt_len",
        "Length of the frame on the wire, VLAN tags included, in bytes.",
        lambda m: m.packet.length,
        lambda e: e.frame_length(),
    ),
    always("get_mark", "The packet's mark.", lambda m: m.action.mark, lambda e: e.mark()),
    always("get_state", "The state.", lambda m: m.action.state, lambda e: e.state()),
)
