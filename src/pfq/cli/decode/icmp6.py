"""ICMPv6: errors, echo, multicast listeners; neighbour discovery goes on in `ndp`."""

from __future__ import annotations

from .line import Ip, Line, Truncated, ip_protocol, number, take
from .ndp import DISCOVERY, discovery
from .text import checksum, hex_dump, ipv6, pseudo_header, right_checksum

NAMES = {
    1: "destination unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem",
    128: "echo request", 129: "echo reply", 130: "multicast listener query", 131: "multicast listener report",
    132: "multicast listener done", 133: "router solicitation", 134: "router advertisement",
    135: "neighbor solicitation", 136: "neighbor advertisement", 137: "redirect", 138: "router renumbering",
    139: "who-are-you request", 140: "who-are-you reply", 141: "inverse neighbor solicitation",
    142: "inverse neighbor advertisement", 143: "multicast listener report v2", 144: "ha discovery request",
    145: "ha discovery reply", 146: "mobile router solicitation", 147: "mobile router advertisement",
}  # fmt: skip
PROBLEMS = ("erroneous", "next header", "option", "incomplete header chain")
RECORDS = {1: "is_in", 2: "is_ex", 3: "to_in", 4: "to_ex", 5: "allow", 6: "block"}
UNREACHABLE = (", unreachable route", ",  unreachable prohibited", ", beyond scope", ", unreachable address")
BEYOND_SCOPE = 2
MLD_BYTES, MLD2_BYTES = 24, 28


@ip_protocol(58)
def icmp6(line: Line, data: bytes, length: int, ip: Ip) -> None:
    line.enter("icmp6")
    if not length:
        line.add("ICMP6, length 0 (invalid)")
        return
    kind = number(data, 0, 1)
    if line.style.verbose and not ip.fragment and len(data) >= length and length >= 4:
        line.add(checksum_text(data[:length], length, ip))
    line.note("icmp6_type", kind)
    line.add(f"ICMP6, {NAMES.get(kind, f'unknown icmp6 type ({kind})')}")
    code = number(data, 1, 1)
    if kind in DISCOVERY:
        discovery(line, kind, data, length)
        return
    known = MESSAGES.get(kind)
    if known and not known(line, code, data, length):
        return
    if kind not in NAMES:
        line.add(f", length {length}")
        if line.style.verbose < 2:
            line.add(hex_dump(data))
    elif not line.style.verbose:
        line.add(f", length {length}")


def checksum_text(data: bytes, length: int, ip: Ip) -> str:
    wrong = checksum(pseudo_header(ip, 58, length), data)
    if not wrong:
        return "[icmp6 sum ok] "
    found = number(data, 2, 2)
    return f"[bad icmp6 cksum 0x{found:04x} -> 0x{right_checksum(found, wrong):04x}!] "


def unreachable(line: Line, code: int, data: bytes, length: int) -> bool:
    if code > 4:
        line.add(f", unknown unreach code ({code})")
        if line.style.verbose < 2:
            line.add(hex_dump(data))
        return False
    if code == 4:
        return unreachable_port(line, data)
    line.add(UNREACHABLE[code])
    line.add(f" {ipv6(take(data, 32, 16))}")
    if code == BEYOND_SCOPE:
        line.add(f", source address {ipv6(take(data, 16, 16))}")
    return True


def unreachable_port(line: Line, data: bytes) -> bool:
    line.add(", unreachable port")
    protocol, offset = number(data, 14, 1), 48
    while protocol in (0, 43, 44, 60):
        protocol, offset = number(data, offset, 1), offset + (number(data, offset + 1, 1) + 1) * 8
    if protocol not in (6, 17):
        raise Truncated
    name = "tcp" if protocol == 6 else "udp"
    line.add(f", {ipv6(take(data, 32, 16))} {name} port {number(data, offset + 2, 2)}")
    return True


def too_big(line: Line, code: int, data: bytes, length: int) -> bool:
    line.add(f", mtu {number(data, 4, 4)}")
    return True


def time_exceeded(line: Line, code: int, data: bytes, length: int) -> bool:
    line.add(" in-transit")
    take(data, 32, 16)
    if code == 0:
        line.add(f" for {ipv6(data[32:48])}")
    else:
        line.add(" (reassembly)" if code == 1 else f", unknown code ({code})")
    return True


def parameter_problem(line: Line, code: int, data: bytes, length: int) -> bool:
    take(data, 32, 16)
    line.add(f", {PROBLEMS[code]} - octet {number(data, 4, 4)}" if code < 4 else f", code-#{code}")
    return True


def echo(line: Line, code: int, data: bytes, length: int) -> bool:
    line.add(f", id {number(data, 4, 2)}, seq {number(data, 6, 2)}")
    return True


def listener_query(line: Line, code: int, data: bytes, length: int) -> bool:
    if length == MLD_BYTES:
        return listener(line, code, data, length)
    if length < MLD2_BYTES:
        return True
    line.add(" v2")
    if line.style.verbose:
        line.add(f" [max resp delay={number(data, 4, 2)}]")
    sources = number(data, 26, 2)
    line.add(f" [gaddr {ipv6(take(data, 8, 16))}")
    if line.style.verbose:
        suppress = " sflag" if number(data, 24, 1) & 8 else ""
        line.add(f"{suppress} robustness={number(data, 24, 1) & 7} qqi={number(data, 25, 1)}")
    if sources:
        line.add(source_list(line, data, 28, sources))
    line.add("]")
    return True


def source_list(line: Line, data: bytes, offset: int, sources: int) -> str:
    if line.style.verbose < 2:
        return f", {sources} source(s)"
    return " {" + "".join(f" {ipv6(take(data, offset + 16 * i, 16))}" for i in range(sources)) + " }"


def listener(line: Line, code: int, data: bytes, length: int) -> bool:
    line.add(f"max resp delay: {number(data, 4, 2)} addr: {ipv6(take(data, 8, 16))}")
    return True


def listener_report(line: Line, code: int, data: bytes, length: int) -> bool:
    count = number(data, 6, 2)
    line.add(f", {count} group record(s)")
    offset = 8
    for _ in range(count if line.style.verbose else 0):
        kind, words, sources = number(data, offset, 1), number(data, offset + 1, 1), number(data, offset + 2, 2)
        line.add(f" [gaddr {ipv6(take(data, offset + 4, 16))} {RECORDS.get(kind, f'[v2-report-#{kind}]')}")
        line.add(source_list(line, data, offset + 20, sources) + "]")
        offset += 20 + 16 * sources + 4 * words
    return True


def home_agent(line: Line, code: int, data: bytes, length: int) -> bool:
    line.add(f", id 0x{number(data, 4, 2):04x}")
    return True


MESSAGES = {1: unreachable, 2: too_big, 3: time_exceeded, 4: parameter_problem, 128: echo, 129: echo,
            130: listener_query, 131: listener, 132: listener, 143: listener_report, 144: home_agent,
            146: home_agent}  # fmt: skip
"""Each writes the details of its message and says whether the length still follows."""
