"""ICMP."""

from __future__ import annotations

from .line import ETHERTYPES, Ip, Line, ip_protocol, number, take
from .text import checksum, ipv4, right_checksum

ECHO_REPLY, UNREACHABLE, QUENCH, REDIRECT, ECHO, ROUTER = 0, 3, 4, 5, 8, 9
TIME_EXCEEDED, PARAMETER, STAMP, STAMP_REPLY, MASK_REPLY = 11, 12, 13, 14, 18
PROTOCOL, PORT, NEED_FRAGMENT = 2, 3, 4
WITH_PACKET = (UNREACHABLE, QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER)
"""Messages that quote the packet they are about."""

NAMES = {4: "source quench", 10: "router solicitation", 15: "information request", 16: "information reply",
         17: "address mask request"}  # fmt: skip
UNREACHABLE_TEXTS = {
    0: "net {} unreachable", 1: "host {} unreachable", 5: "{} unreachable - source route failed",
    6: "net {} unreachable - unknown", 7: "host {} unreachable - unknown",
    8: "{} unreachable - source host isolated", 9: "net {} unreachable - admin prohibited",
    10: "host {} unreachable - admin prohibited", 11: "net {} unreachable - tos prohibited",
    12: "host {} unreachable - tos prohibited", 13: "host {} unreachable - admin prohibited filter",
    14: "host {} unreachable - host precedence violation", 15: "host {} unreachable - precedence cutoff",
}  # fmt: skip
REDIRECTS = ("redirect {} to net {}", "redirect {} to host {}", "redirect-tos {} to net {}",
             "redirect-tos {} to host {}")  # fmt: skip


@ip_protocol(1)
def icmp(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("icmp")
    if ip.version != 4:
        line.add("[ICMP requires IPv4] (invalid)")
        return
    kind = number(data, 0, 1)
    take(data, 1, 1)
    line.note("icmp_type", kind)
    line.add(f"ICMP {message(kind, data)}, length {length}")
    if not line.style.verbose:
        return
    if not ip.fragment and len(data) >= length and (wrong := checksum(data[:length])):
        found = number(data, 2, 2)
        line.add(f" (wrong icmp cksum {found:x} (->{right_checksum(found, wrong):x})!)")
    if kind in WITH_PACKET:
        line.add("\n\t")
        quoted(line, data[8:])


def quoted(line: Line, packet: bytes) -> None:
    """Writes the packet that a message is about; only its beginning was sent back."""
    ETHERTYPES[0x0800](line, packet, max(len(packet), number(packet, 2, 2)))


def message(kind: int, data: bytes) -> str:
    code = data[1]
    match kind:
        case 0 | 8:
            name = "request" if kind == ECHO else "reply"
            return f"echo {name}, id {number(data, 4, 2)}, seq {number(data, 6, 2)}"
        case 3:
            return unreachable(code, data)
        case 5:
            to, gateway = quoted_destination(data), ipv4(take(data, 4, 4))
            return REDIRECTS[code].format(to, gateway) if code < 4 else f"redirect-#{code} {to} to {gateway}"
        case 9:
            return "router advertisement" + routers(data)
        case 11:
            quoted_destination(data)
            texts = ("time exceeded in-transit", "ip reassembly time exceeded")
            return texts[code] if code < 2 else f"time exceeded-#{code}"
        case 12:
            return f"parameter problem - {f'code {code}' if code else f'octet {number(data, 4, 1)}'}"
        case 13:
            return f"time stamp query id {number(data, 4, 2)} seq {number(data, 6, 2)}"
        case 14:
            times = [clock(number(data, at, 4)) for at in (8, 12, 16)]
            head = f"time stamp reply id {number(data, 4, 2)} seq {number(data, 6, 2)}"
            return f"{head}: org {times[0]}, recv {times[1]}, xmit {times[2]}"
        case 18:
            return f"address mask is 0x{number(data, 8, 4):08x}"
        case _:
            return NAMES.get(kind, f"type-#{kind}")


def quoted_destination(data: bytes) -> str:
    return ipv4(take(data, 24, 4))


def unreachable(code: int, data: bytes) -> str:
    to = quoted_destination(data)
    if code == PROTOCOL:
        return f"{to} protocol {data[17]} unreachable"
    if code == PORT:
        protocol = data[17]
        port = number(data, 8 + (data[8] & 15) * 4 + 2, 2)
        name = {6: "tcp", 17: "udp"}.get(protocol, f"protocol {protocol}")
        return f"{to} {name} port {port} unreachable"
    if code == NEED_FRAGMENT:
        mtu = number(data, 6, 2)
        return f"{to} unreachable - need to frag" + (f" (mtu {mtu})" if mtu else "")
    return UNREACHABLE_TEXTS.get(code, f"{{}} unreachable - #{code}").format(to)


def routers(data: bytes) -> str:
    count, words, lifetime = number(data, 4, 1), number(data, 5, 1), number(data, 6, 2)
    text = f" lifetime {duration(lifetime)} {count}:"
    if words != 2:
        return f"{text} [size {words}]"
    entries = ((take(data, 8 + 8 * i, 4), number(data, 12 + 8 * i, 4)) for i in range(count))
    return text + "".join(f" {{{ipv4(address)} {preference}}}" for address, preference in entries)


def duration(seconds: int) -> str:
    if seconds < 60:
        return str(seconds)
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02}"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}.{rest:03}"
