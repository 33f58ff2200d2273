"""Neighbour discovery of IPv6: routers, neighbours, redirects and their options."""

from __future__ import annotations

from .line import Line, number, take
from .text import flag_names, hex_dump, ipv6, mac

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = 133, 134, 135, 136, 137
FIXED_BYTES = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}
DISCOVERY = tuple(FIXED_BYTES)
ROUTER_FLAGS = {0x80: "managed", 0x40: "other stateful", 0x20: "home agent"}
NEIGHBOUR_FLAGS = {0x80: "router", 0x40: "solicited", 0x20: "override"}
PREFIX_FLAGS = {0x80: "onlink", 0x40: "auto", 0x20: "router"}
PREFERENCES = ("medium", "high", "reserved", "low")
INFINITE = 0xFFFFFFFF
OPTIONS = {1: "source link-address", 2: "destination link-address", 3: "prefix info", 4: "redirected header",
           5: "mtu", 7: "advertisement interval", 8: "homeagent information", 24: "route info", 25: "rdnss",
           31: "dnssl"}  # fmt: skip


def discovery(line: Line, kind: int, data: bytes, length: int) -> None:
    """Writes everything after the name of the message."""
    if line.style.verbose:
        line.add(f", length {length}")
    match kind:
        case 134 if line.style.verbose:
            router(line, data)
        case 135:
            line.add(f", who has {ipv6(take(data, 8, 16))}")
        case 136:
            flags = flag_names(NEIGHBOUR_FLAGS, number(data, 4, 1))
            line.add(f", tgt is {ipv6(take(data, 8, 16))}")
            line.add(f", Flags [{flags}]" if line.style.verbose else "")
        case 137:
            line.add(f", {ipv6(take(data, 24, 16))} to {ipv6(take(data, 8, 16))}")
    if line.style.verbose:
        options(line, data[FIXED_BYTES[kind] :], length - FIXED_BYTES[kind])
    else:
        line.add(f", length {length}")


def router(line: Line, data: bytes) -> None:
    hops, flags, lifetime = number(data, 4, 1), number(data, 5, 1), number(data, 6, 2)
    line.add(f"\n\thop limit {hops}, Flags [{flag_names(ROUTER_FLAGS, flags)}]")
    line.add(f", pref {PREFERENCES[flags >> 3 & 3]}, router lifetime {lifetime}s")
    line.add(f", reachable time {number(data, 8, 4)}ms, retrans timer {number(data, 12, 4)}ms")


def options(line: Line, data: bytes, length: int) -> None:
    offset = 0
    while offset < length:
        kind, words = number(data, offset, 1), number(data, offset + 1, 1)
        line.add(f"\n\t  {OPTIONS.get(kind, 'unknown')} option ({kind}), length {words * 8} ({words}): ")
        if words == 0:
            return
        option = data[offset : offset + words * 8]
        line.add(option_text(kind, option))
        if line.style.verbose > 1:
            line.add(hex_dump(take(option, 2, words * 8 - 2), "\n\t    "))
        offset += words * 8


def seconds(value: int) -> str:
    return "infinity" if value == INFINITE else f"{value}s"


def option_text(kind: int, option: bytes) -> str:
    match kind:
        case 1 | 2:
            return mac(option[2:])
        case 3:
            flags = flag_names(PREFIX_FLAGS, number(option, 3, 1))
            valid, preferred = seconds(number(option, 4, 4)), seconds(number(option, 8, 4))
            prefix = f"{ipv6(take(option, 16, 16))}/{option[2]}"
            return f"{prefix}, Flags [{flags}], valid time {valid}, pref. time {preferred}"
        case 5:
            return f" {number(option, 4, 4)}"
        case 7:
            return f" {number(option, 4, 4)}ms"
        case 8:
            return f" preference {number(option, 4, 2)}, lifetime {number(option, 6, 2)}"
        case 24:
            prefix = ipv6((option[8:24] + bytes(16))[:16])
            preference = PREFERENCES[number(option, 3, 1) >> 3 & 3]
            return f" {prefix}/{option[2]}, pref={preference}, lifetime={seconds(number(option, 4, 4))}"
        case 25:
            servers = "".join(f" addr: {ipv6(take(option, at, 16))}" for at in range(8, len(option) - 15, 16))
            return f" lifetime {seconds(number(option, 4, 4))},{servers}"
        case 31:
            return f" lifetime {seconds(number(option, 4, 4))}, domain(s):{domains(option[8:])}"
        case _:
            return ""


def domains(data: bytes) -> str:
    """Names in the form of the DNS, without compression."""
    text, offset, labels = "", 0, ""
    while offset < len(data):
        size = data[offset]
        if size == 0 and not labels:
            break
        label = data[offset + 1 : offset + 1 + size]
        labels += "".join(chr(byte) if 32 < byte < 127 else "." for byte in label) + ("." if size else "")
        if size == 0:
            text, labels = f"{text} {labels}", ""
        offset += 1 + size
    return text
