"""Headers around other packets: GRE, AH, ESP, IPComp, MPLS, PPPoE."""

from __future__ import annotations

from .ethernet import ethernet
from .ipv6 import headers
from .line import ETHERTYPES, Ip, Line, ethertype, ip_protocol, number, payload_of_ip, take
from .numbers import ETHERTYPE_NAMES
from .text import flag_names

CHECKSUM, ROUTING, KEY, SEQUENCE, STRICT = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800
ACKNOWLEDGED = 0x0080
GRE_FLAGS = {CHECKSUM: "checksum present", ROUTING: "routing present", KEY: "key present",
             SEQUENCE: "sequence# present", STRICT: "source routing present"}  # fmt: skip
GRE1_FLAGS = {**GRE_FLAGS, ACKNOWLEDGED: "ack present"}
BRIDGED_ETHERNET = 0x6558
MPLS_BOTTOM = 0x100
MPLS_LABELS = {0: " (IPv4 explicit NULL)", 1: " (router alert)", 2: " (IPv6 explicit NULL)", 3: " (implicit NULL)"}
PPPOE_BYTES = 6
PPP_IPV4, PPP_IPV6 = 0x0021, 0x0057
PPPOE_CODES = {0x00: "", 0x09: "PADI", 0x07: "PADO", 0x19: "PADR", 0x65: "PADS", 0xA7: "PADT"}


@ip_protocol(47)
def gre(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("gre")
    flags = number(data, 0, 2)
    version = flags & 7
    line.add(f"GREv{version}")
    if version == 0:
        gre0(line, data, length, flags)
    elif version == 1:
        gre1(line, data, length, flags)
    else:
        line.add(" ERROR: unknown-version")


def gre0(line: Line, data: bytes, length: int, flags: int) -> None:
    if line.style.verbose:
        line.add(f", Flags [{flag_names(GRE_FLAGS, flags)}]")
    protocol, offset = number(data, 2, 2), 4
    if flags & (CHECKSUM | ROUTING):
        if line.style.verbose:
            line.add(f", sum 0x{number(data, offset, 2):x}")
        line.add(f", off 0x{number(data, offset + 2, 2):x}")
        offset += 4
    if flags & KEY:
        line.add(f", key=0x{number(data, offset, 4):x}")
        offset += 4
    if flags & SEQUENCE:
        line.add(f", seq {number(data, offset, 4)}")
        offset += 4
    line.add(f"{protocol_text(line, protocol)}, length {length}{separator(line)}")
    inner(line, protocol, data[offset:], length - offset)


def protocol_text(line: Line, protocol: int) -> str:
    return f", proto {ETHERTYPE_NAMES.get(protocol, 'unknown')} (0x{protocol:04x})" if line.style.link else ""


def separator(line: Line) -> str:
    return "\n\t" if line.style.verbose else ": "


def inner(line: Line, protocol: int, data: bytes, length: int) -> None:
    if protocol == BRIDGED_ETHERNET:
        ethernet(line, data, length)
    elif layer := ETHERTYPES.get(protocol):
        layer(line, data, length)
    else:
        line.add(f"gre-proto-0x{protocol:x}")


def gre1(line: Line, data: bytes, length: int, flags: int) -> None:
    if line.style.verbose:
        line.add(f", Flags [{flag_names(GRE1_FLAGS, flags)}]")
    offset = 8
    line.add(f", call {number(data, 6, 2)}")
    for bit, name in ((SEQUENCE, "seq"), (ACKNOWLEDGED, "ack")):
        if flags & bit:
            line.add(f", {name} {number(data, offset, 4)}")
            offset += 4
    if not flags & SEQUENCE:
        line.add(", no-payload")
    line.add(f"{protocol_text(line, number(data, 2, 2))}, length {length}")


@ip_protocol(51)
def authentication_header(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("ah")
    words, spi, sequence = number(data, 1, 1), number(data, 4, 4), number(data, 8, 4)
    size = (words + 2) * 4
    value = take(data, 12, size - 12).hex()
    shown = f"length={words}({size}-bytes)," if line.style.verbose else ""
    line.add(f"AH({shown}spi=0x{spi:08x},seq=0x{sequence:x},icv=0x{value}): ")
    follow = headers if ip.version == 6 else payload_of_ip
    follow(line, data[0], data[size:], length - size, ip)


@ip_protocol(50)
def encrypted(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("esp")
    take(data, 0, 8)
    line.add(f"ESP(spi=0x{number(data, 0, 4):08x},seq=0x{number(data, 4, 4):x}), length {length}")


@ip_protocol(108)
def compressed(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("ipcomp")
    line.add(f"IPComp(cpi=0x{number(data, 2, 2):04x})")


@ethertype(0x8847, 0x8848)
def mpls(line: Line, data: bytes, length: int) -> None:
    line.enter("mpls")
    line.add("MPLS")
    offset, bottom = 0, False
    while not bottom:
        entry = number(data, offset, 4)
        label, bottom = entry >> 12, bool(entry & MPLS_BOTTOM)
        line.add("\n\t" if line.style.verbose and offset else " ")
        line.add(f"(label {label}{MPLS_LABELS.get(label, '') if line.style.verbose else ''}, tc {entry >> 9 & 7}")
        line.add(f"{', [S]' if bottom else ''}, ttl {entry & 255})")
        offset += 4
    packet = data[offset:]
    layer = ETHERTYPES.get({4: 0x0800, 6: 0x86DD}.get(packet[0] >> 4, 0)) if packet else None
    if layer:
        line.add("\n\t" if line.style.verbose else " ")
        layer(line, packet, length - offset)


@ethertype(0x8863, 0x8864)
def pppoe(line: Line, data: bytes, length: int) -> None:
    line.enter("pppoe")
    if length < PPPOE_BYTES:
        line.add(f" (length {length} < {PPPOE_BYTES}) (invalid)")
        return
    version_type, code, session, size = number(data, 0, 1), number(data, 1, 1), number(data, 2, 2), number(data, 4, 2)
    line.add("PPPoE ")
    if version_type != 0x11:
        line.add(f" [ver {version_type >> 4}] [type {version_type & 15}]")
    line.add(PPPOE_CODES.get(code, f"PAD-{code:x}"))
    if size > length - PPPOE_BYTES:
        line.add(f" [len {size} > {length - PPPOE_BYTES}!]")
    if session:
        line.add(f" [ses 0x{session:x}]")
    if code == 0:
        line.add(" ")
        ppp(line, data[PPPOE_BYTES:], min(size, length - PPPOE_BYTES))


def ppp(line: Line, data: bytes, length: int) -> None:
    line.protocol = "ppp"
    protocol = number(data, 0, 2)
    layer = ETHERTYPES.get({PPP_IPV4: 0x0800, PPP_IPV6: 0x86DD}.get(protocol, 0))
    name = {PPP_IPV4: "IP", PPP_IPV6: "IP6"}.get(protocol, "unknown")
    if line.style.link:
        line.add(f"{name} (0x{protocol:04x}), length {length}: ")
    if layer:
        layer(line, data[2:], length - 2)
    elif not line.style.link:
        line.add(f"unknown PPP protocol (0x{protocol:04x})")
