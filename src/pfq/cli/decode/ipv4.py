"""IPv4: header, options, fragments."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from .line import Ip, Line, Truncated, ethertype, ip_protocol, number, payload_of_ip, take
from .numbers import IP_PROTOCOL_NAMES
from .text import checksum, flag_names, ipv4, right_checksum

LAYOUT = Struct(">BBHHHBBH4s4s")
FRAGMENT_OFFSET, MORE_FRAGMENTS = 0x1FFF, 0x2000
FRAGMENT_FLAGS = {0x2000: "+", 0x4000: "DF", 0x8000: "rsvd"}
ECN = ("", ",ECT(1)", ",ECT(0)", ",CE")
WITH_PORTS = (6, 17)
"""TCP and UDP write the addresses themselves, with the ports."""

END, NOP, RECORD_ROUTE, TIMESTAMP, SECURITY, TRACEROUTE, LOOSE, STRICT, ALERT = 0, 1, 7, 68, 130, 82, 131, 137, 148
OPTIONS = {END: "EOL", NOP: "NOP", RECORD_ROUTE: "RR", TIMESTAMP: "timestamp", SECURITY: "security",
           TRACEROUTE: "traceroute", LOOSE: "LSRR", STRICT: "SSRR", ALERT: "RA"}  # fmt: skip
STAMPS = {0: "TSONLY", 1: "TS+ADDR", 3: "PRESPEC"}


class Header(NamedTuple):
    """The fixed part of a header; `position` has the fragment's flags and offset."""

    version_words: int
    tos: int
    total: int
    identification: int
    position: int
    ttl: int
    protocol: int
    checksum: int
    source: bytes
    destination: bytes

    @property
    def size(self) -> int:
        """Bytes of the header, options included."""
        return (self.version_words & 15) * 4


@ethertype(0x0800)
def ipv4_datagram(line: Line, data: bytes, length: int) -> None:
    line.enter("ip")
    version = number(data, 0, 1) >> 4
    if version != 4:
        line.add("IP6, wrong link-layer encapsulation (invalid)" if version == 6 else f"IP{version} (invalid)")
        return
    if not line.style.link:
        line.add("IP ")
    header = Header._make(LAYOUT.unpack(take(data, 0, LAYOUT.size)))
    if length < LAYOUT.size:
        line.add(f"truncated-ip {length}")
        return
    if header.size < LAYOUT.size:
        line.add(f"bad-hlen {header.size}")
        return
    if length < header.total:
        line.add(f"truncated-ip - {header.total - length} bytes missing! ")
    if header.total < header.size:
        line.add(f"bad-len {header.total}")
        return
    datagram(line, data[: header.total], header)


def datagram(line: Line, data: bytes, header: Header) -> None:
    """The rest of a datagram whose lengths make sense."""
    source, destination, protocol, size = header.source, header.destination, header.protocol, header.size
    more = bool(header.position & MORE_FRAGMENTS)
    ip = Ip(4, source, destination, ipv4(source), ipv4(destination), protocol, more)
    line.note("src", ip.src)
    line.note("dst", ip.dst)
    line.note("proto", protocol)
    if line.style.verbose:
        verbose_header(line, data, header)
    if header.position & FRAGMENT_OFFSET:
        line.add(f"{ip.src} > {ip.dst}: ip-proto-{protocol}")
        return
    if protocol not in WITH_PORTS:
        line.add(f"{ip.src} > {ip.dst}: ")
    if len(data) < size:
        line.add(f" [remaining caplen({len(data)}) < header length({size})]")
        raise Truncated
    if size > LAYOUT.size:
        ip.destination = last_hop(data[LAYOUT.size : size]) or destination
    payload_of_ip(line, protocol, data[size:], header.total - size, ip)


def verbose_header(line: Line, data: bytes, header: Header) -> None:
    line.add(f"(tos 0x{header.tos:x}{ECN[header.tos & 3]}")
    if header.ttl:
        line.add(f", ttl {header.ttl}")
    offset, flags = (header.position & FRAGMENT_OFFSET) * 8, flag_names(FRAGMENT_FLAGS, header.position)
    line.add(f", id {header.identification}, offset {offset}, flags [{flags}]")
    name = IP_PROTOCOL_NAMES.get(header.protocol, "unknown")
    line.add(f", proto {name} ({header.protocol}), length {header.total}")
    if header.size > LAYOUT.size:
        line.add(", options (")
        options(line, data[LAYOUT.size : header.size], header.size - LAYOUT.size)
        line.add(")")
    if len(data) >= header.size and (wrong := checksum(data[: header.size])):
        line.add(f", bad cksum {header.checksum:x} (->{right_checksum(header.checksum, wrong):x})!")
    line.add(")\n    ")


def options(line: Line, data: bytes, length: int) -> None:
    """Writes the options of a header; `length` bytes of them were on the wire."""
    offset = 0
    while offset < length:
        if offset:
            line.add(",")
        kind = number(data, offset, 1)
        line.add(OPTIONS.get(kind, f"unknown {kind}"))
        if kind == END:
            return
        size = 1
        if kind != NOP:
            size = number(data, offset + 1, 1)
            if size < 2 or size > length - offset:
                line.add(f" [bad length {size}]")
                return
            line.add(option_text(kind, take(data, offset, size)))
        offset += size


def option_text(kind: int, option: bytes) -> str:
    if kind in (RECORD_ROUTE, LOOSE, STRICT):
        return route(option)
    if kind == TIMESTAMP:
        return timestamps(option)
    if kind == ALERT:
        if len(option) < 4:
            return f" [bad length {len(option)}]"
        value = number(option, 2, 2)
        return f" value {value}" if value else ""
    return ""


def route(option: bytes) -> str:
    size = len(option)
    if size < 3:
        return f" [bad length {size}]"
    text = f" [bad length {size}]" if (size + 1) & 3 else ""
    pointer = option[2] - 1
    if pointer < 3 or (pointer + 1) & 3 or pointer > size + 1:
        text += f" [bad ptr {option[2]}]"
    hops = (f" {ipv4(take(option, at, 4))}{',' if pointer > at else ''}" for at in range(3, size, 4))
    return text + "".join(hops)


def timestamps(option: bytes) -> str:
    size = len(option)
    if size < 4:
        return f"[bad length {size}]"
    pointer, kind = option[2] - 1, option[3] & 15
    step = 8 if kind else 4
    text = " TS{" + (f"[bad length {size}]" if (size - 4) % step else "")
    if pointer < 4 or (pointer - 4) % step or pointer > size + 1:
        text += f"[bad ptr {option[2]}]"
    text += STAMPS.get(kind, f"[bad ts type {kind}]")
    at = 0
    if kind in STAMPS:
        at = 4
        while at < size:
            mark = " ^ " if pointer == at else " "
            address = ipv4(take(option, at, 4)) if step == 8 else ""
            text += f"{mark}{number(option, at + step - 4, 4)}@{address}"
            at += step
    text += " ^ " if pointer == at else ""
    return text + (f" [{option[3] >> 4} hops not recorded]}} " if option[3] >> 4 else "}")


def last_hop(options_bytes: bytes) -> bytes | None:
    """The final destination of a source route: the pseudo header of TCP and UDP has it."""
    offset = 0
    while offset + 1 < len(options_bytes) and options_bytes[offset] != END:
        if options_bytes[offset] == NOP:
            offset += 1
            continue
        size = options_bytes[offset + 1]
        if size < 2 or offset + size > len(options_bytes):
            return None
        if options_bytes[offset] in (LOOSE, STRICT) and size >= 7:
            return options_bytes[offset + size - 4 : offset + size]
        offset += size
    return None


@ip_protocol(4)
def ip_in_ip(line: Line, data: bytes, length: int, ip: Ip) -> None:
    ipv4_datagram(line, data, length)
