"""IPv6: header, extension headers, fragments."""

from __future__ import annotations

from struct import Struct

from .ipv4 import WITH_PORTS
from .line import Ip, Line, ethertype, ip_protocol, number, payload_of_ip, take
from .numbers import IP_PROTOCOL_NAMES
from .text import ipv6

HEADER = Struct(">IHBB16s16s")
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, NO_NEXT = 0, 43, 44, 60, 59
PAD1, PADN, ROUTER_ALERT, JUMBO, HOME_ADDRESS = 0, 1, 5, 0xC2, 0xC9
SEGMENT_ROUTING = 4


@ethertype(0x86DD)
def ipv6_datagram(line: Line, data: bytes, length: int) -> None:
    line.enter("ip6")
    words, payload, following, hops, source, destination = HEADER.unpack(take(data, 0, HEADER.size))
    if length < HEADER.size:
        line.add(f"truncated-ip6 {length}")
        return
    if not line.style.link:
        line.add("IP6 ")
    if words >> 28 != 6:
        line.add(f"version error: {words >> 28} != 6")
        return
    jumbo = 0
    if payload == 0 and following == HOP_BY_HOP:
        jumbo = jumbo_length(data[HEADER.size :])
    rest = payload or jumbo
    if length - HEADER.size < rest:
        line.add(f"truncated-ip6 - {rest - (length - HEADER.size)} bytes missing!")
    if line.style.verbose:
        line.add(f"({flow(words)}hlim {hops}, next-header {IP_PROTOCOL_NAMES.get(following, 'unknown')} ({following})")
        line.add(f" payload length: {payload}) ")
    ip = Ip(6, source, destination, ipv6(source), ipv6(destination), following)
    line.note("src", ip.src)
    line.note("dst", ip.dst)
    line.note("proto", following)
    if following not in WITH_PORTS:
        line.add(f"{ip.src} > {ip.dst}: ")
    headers(line, following, data[HEADER.size : HEADER.size + rest], rest, ip)


def flow(words: int) -> str:
    traffic_class, label = words >> 20 & 0xFF, words & 0xFFFFF
    text = f"class 0x{traffic_class:02x}, " if traffic_class else ""
    return text + (f"flowlabel 0x{label:05x}, " if label else "")


def jumbo_length(data: bytes) -> int:
    """The length in a jumbo payload option, or 0."""
    end = min(len(data), 8 + data[1] * 8) if len(data) > 1 else 0
    offset = 2
    while offset + 6 <= end:
        if data[offset] == PAD1:
            offset += 1
        elif data[offset] == JUMBO:
            return number(data, offset + 2, 4)
        else:
            offset += 2 + data[offset + 1]
    return 0


def headers(line: Line, following: int, data: bytes, length: int, ip: Ip) -> None:
    """Writes extension headers, then what they lead to."""
    first = True
    while True:
        if following == HOP_BY_HOP and not first:
            line.add("[The Hop-by-Hop Options header is not the first one] (invalid)")
            return
        if following in (HOP_BY_HOP, DESTINATION):
            size = options_header(line, data, "HBH" if following == HOP_BY_HOP else "DSTOPT")
        elif following == ROUTING:
            size = routing(line, data, ip)
        elif following == FRAGMENT:
            size = fragment(line, data, length, ip)
        else:
            break
        if not size:
            return
        following, data, length, first = data[0], data[size:], length - size, False
    if following == NO_NEXT:
        line.add("no next header")
    else:
        payload_of_ip(line, following, data, length, ip)


def options_header(line: Line, data: bytes, name: str) -> int:
    line.protocol = "hbhopt" if name == "HBH" else "dstopt"
    size = (number(data, 1, 1) + 1) * 8
    take(data, 0, size)
    line.add(f"{name} ")
    if line.style.verbose:
        options(line, data[2:size], name == "HBH")
    return size


def options(line: Line, data: bytes, hop_by_hop: bool) -> None:
    offset = 0
    while offset < len(data):
        kind = data[offset]
        if kind == PAD1:
            line.add("(pad1)")
            offset += 1
            continue
        size = number(data, offset + 1, 1)
        value = int.from_bytes(data[offset + 2 : offset + 2 + size], "big")
        if kind == PADN:
            line.add("(padn)")
        elif kind == ROUTER_ALERT and size == 2:
            line.add(f"(rtalert: 0x{value:04x}) ")
        elif kind == JUMBO and size == 4:
            line.add(f"(jumbo: {value}{'' if hop_by_hop else ' - not a hop-by-hop option'}) ")
        elif kind == HOME_ADDRESS and size == 16:
            line.add(f"(homeaddr: {ipv6(take(data, offset + 2, 16))})")
        else:
            line.add(f"(opt_type 0x{kind:02x}: len={size})")
        offset += 2 + size
    line.add(" ")


def routing(line: Line, data: bytes, ip: Ip) -> int:
    line.protocol = "rt6"
    line.add("RT6 ")
    words = number(data, 1, 1)
    line.add(f"(len={words}")
    kind, left = number(data, 2, 1), number(data, 3, 1)
    line.add(f", type={kind}{' [Deprecated]' if kind == 0 else ''}, segleft={left}")
    if kind in (0, 2):
        reserved = number(data, 4, 4)
        if reserved or line.style.verbose:
            line.add(f", rsv=0x{reserved:x}")
    elif kind == SEGMENT_ROUTING:
        line.add(f", last-entry={number(data, 4, 1)}")
        flags = number(data, 5, 1)
        if flags or line.style.verbose:
            line.add(f", flags=0x{flags:x}")
        line.add(f", tag={number(data, 6, 2):x}")
    else:
        line.add(" (unknown type) (invalid)")
        return 0
    segments = []
    for i in range(words // 2):
        segments.append(take(data, 8 + 16 * i, 16))
        line.add(f", [{i}]{ipv6(segments[i])}")
    line.add(") ")
    if left and segments:
        ip.destination = segments[0] if kind == SEGMENT_ROUTING else segments[-1]
    return (words + 1) * 8


def fragment(line: Line, data: bytes, length: int, ip: Ip) -> int:
    """Writes a fragment header; its size, or 0 when no transport header can follow it."""
    line.protocol = "frag6"
    position = number(data, 2, 2)
    offset, size = position & 0xFFF8, length - 8
    shown = f"0x{number(data, 4, 4):08x}:" if line.style.verbose else ""
    line.add(f"frag ({shown}{offset}|{size})")
    if offset:
        return 0
    line.add(" ")
    ip.fragment = True
    return 8 if len(data) > 8 else 0


@ip_protocol(41)
def ipv6_in_ip(line: Line, data: bytes, length: int, ip: Ip) -> None:
    ipv6_datagram(line, data, length)
