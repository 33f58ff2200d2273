"""The header fields that flow keys are made of: what each bit of a key stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from pfq.lang.constants import CONSTANTS
from pfq.lang.interp import Machine
from pfq.lang.packet import ETHERNET_BYTES, ICMP, ICMP6, Ip
from pfq.lang.prims import properties
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.headers import ICMP_BYTES, lower_l4_proto
from pfq.lang.prims.link import mac_addresses
from pfq.lang.prims.steer_link import lower_mac
from pfq.lang.prims.steering import PORTS_BYTES, any_ip, folded, is_tcp_or_udp, lower_is_tcp_or_udp, raw

HALVES: Final = ("", "src", "dst")
"""What both directions of a flow have in common, and the two ends, which change places."""


@dataclass(frozen=True, slots=True)
class Field:
    """A header field that a key can have.

    half   one of `HALVES`
    width  in bits
    run    the field, None when the packet does not have it
    lower  the same as a property
    """

    name: str
    half: str
    width: int
    run: Callable[[Machine], int | None]
    lower: Callable[[Emitter], tuple[Code, Code]]

    @property
    def bit(self) -> int:
        return CONSTANTS[f"key_{self.name}"][1]


def mac(side: Side) -> Field:
    def run(m: Machine) -> int | None:
        found = mac_addresses(m, side)
        return raw(found[0]) if found else None

    return Field(f"eth_{side}", side, 48, run, lambda e: (e.has_frame(ETHERNET_BYTES), lower_mac(e, side)))


def address(side: Side) -> Field:
    """An IP address; the 128 bits of IPv6 are folded."""

    def run(m: Machine) -> int | None:
        ip = m.headers.ip
        return None if ip is None else folded(ip.src if side == "src" else ip.dst)

    return Field(f"ip_{side}", side, 32, run, lambda e: (any_ip(e), e.address_hash(side)))


def proto(m: Machine) -> int | None:
    return None if m.headers.ip is None else m.headers.ip.proto or 0


def lower_proto(e: Emitter) -> tuple[Code, Code]:
    present, found = e.l4_proto()
    return any_ip(e), e.select(present, found, e.number(0))


def property_of_ip(name: str, width: int) -> Field:
    """A field that is also a primitive."""
    prim = next(prim for prim in properties.ROWS if prim.name == name)
    return Field(name, "", width, prim.run, prim.lower)


def l4(
    name: str,
    half: str,
    offset: int,
    size: int,
    whole: int,
    has: Callable[[Ip], bool],
    lower_has: Callable[[Emitter], Code],
) -> Field:
    """A field of a layer 4 header of `whole` bytes; 0 in a fragment, so that a datagram stays together."""

    def run(m: Machine) -> int | None:
        ip = m.headers.ip
        if ip is None or not has(ip):
            return None
        if ip.fragment:
            return 0
        header = m.headers.l4(whole)
        return None if header is None else raw(header[offset : offset + size])

    def lower(e: Emitter) -> tuple[Code, Code]:
        part = e.is_fragment()
        present = e.both(lower_has(e), e.either(part, e.has_l4(whole)))
        return present, e.select(part, e.number(0), e.load_raw("l4", offset, size))

    return Field(name, half, size * 8, run, lower)


def port(side: Side, offset: int) -> Field:
    return l4(f"{side}_port", side, offset, 2, PORTS_BYTES, is_tcp_or_udp, lower_is_tcp_or_udp)


def is_icmp(ip: Ip) -> bool:
    return ip.proto == (ICMP if ip.version == 4 else ICMP6)


def lower_is_icmp(e: Emitter) -> Code:
    versions = (e.both(e.is_ip(4), lower_l4_proto(e, ICMP)), e.both(e.is_ip(6), lower_l4_proto(e, ICMP6)))
    return e.either(*versions)


FIELDS: Final = (
    Field("eth_type", "", 16, lambda m: m.packet.ethertype, lambda e: e.ethertype()),
    mac("src"),
    mac("dst"),
    address("src"),
    address("dst"),
    Field("ip_proto", "", 8, proto, lower_proto),
    property_of_ip("ip_ecn", 2),
    property_of_ip("ip_dscp", 6),
    port("src", 0),
    port("dst", 2),
    l4("icmp_type", "", 0, 1, ICMP_BYTES, is_icmp, lower_is_icmp),
    l4("icmp_code", "", 1, 1, ICMP_BYTES, is_icmp, lower_is_icmp),
)
"""In the order of their bits."""

PORTS, ICMP_FIELDS = (sum(field.bit for field in FIELDS if kind in field.name) for kind in ("port", "icmp"))


def check_key(key: int) -> str | None:
    if key == 0:
        return "a key without a field tells no flows apart: use key_5tuple, or key_ip_src and its like"
    if unknown := key & ~sum(field.bit for field in FIELDS):
        return f"the key has bits that stand for no field: {unknown:#x}"
    if key & PORTS and key & ICMP_FIELDS:
        return "no packet has this key: ports belong to TCP and UDP, the other fields to ICMP"
    return None


def values(m: Machine, key: int, fields: tuple[Field, ...] = FIELDS) -> dict[Field, int] | None:
    """The fields of the key; None when the packet lacks one."""
    result = {}
    for field in fields:
        if key & field.bit:
            value = field.run(m)
            if value is None:
                return None
            result[field] = value
    return result


def lower_values(e: Emitter, key: int, fields: tuple[Field, ...] = FIELDS) -> tuple[Code, dict[Field, Code]]:
    """The packet has them all, and the fields."""
    found = {field: field.lower(e) for field in fields if key & field.bit}
    all_there = reduce(e.both, (present for present, _ in found.values()))
    return all_there, {field: value for field, (_, value) in found.items()}
