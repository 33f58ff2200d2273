"""Addresses, dumps and checksums as text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from socket import AF_INET6, inet_ntop
from struct import unpack

from .line import Ip

DUMP_BYTES = 16


def mac(address: bytes) -> str:
    return address.hex(":")


@lru_cache(4096)
def ipv4(address: bytes) -> str:
    return "{}.{}.{}.{}".format(*address)


@lru_cache(4096)
def ipv6(address: bytes) -> str:
    return inet_ntop(AF_INET6, address)


def flag_names(names: Mapping[int, str], value: int, none: str = "none", separator: str = ", ") -> str:
    """Names of the bits that are set."""
    return separator.join(name for bit, name in names.items() if value & bit) or none


def groups(data: bytes) -> str:
    """Hexadecimal in groups of four digits."""
    return data.hex(" ", -2)


def hex_dump(data: bytes, indent: str = "\n\t", start: int = 0) -> str:
    """16 bytes a line with their offset."""
    rows = range(0, len(data), DUMP_BYTES)
    return "".join(f"{indent}0x{start + at:04x}:  {groups(data[at : at + DUMP_BYTES])}" for at in rows)


def hex_ascii_dump(data: bytes) -> str:
    """The same with the printable characters beside."""
    rows = []
    for at in range(0, len(data), DUMP_BYTES):
        row = data[at : at + DUMP_BYTES]
        shown = "".join(chr(byte) if 32 < byte < 127 else "." for byte in row)
        rows.append(f"\n\t0x{at:04x}:  {groups(row):<40} {shown}")
    return "".join(rows)


def checksum(*parts: bytes) -> int:
    """The Internet checksum over the parts, each of which starts at an even offset; 0 when it is right."""
    total = 0
    for part in parts:
        padded = part + b"\0" if len(part) % 2 else part
        total += sum(unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def right_checksum(found: int, over_all: int) -> int:
    """What a checksum field that holds `found` should hold, when the checksum over all bytes is `over_all`."""
    total = found + over_all
    return (total & 0xFFFF) + (total >> 16)


def pseudo_header(ip: Ip, protocol: int, length: int) -> bytes:
    """What TCP, UDP and ICMPv6 checksum in front of themselves."""
    if ip.version == 4:
        return ip.source + ip.destination + bytes((0, protocol)) + (length & 0xFFFF).to_bytes(2, "big")
    return ip.source + ip.destination + length.to_bytes(4, "big") + bytes((0, 0, 0, protocol))
