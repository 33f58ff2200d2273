"""Steering by what the outermost Ethernet header says: hardware addresses and VLANs."""

from __future__ import annotations

import re
from collections.abc import Callable

from pfq.lang.action import Fanout
from pfq.lang.interp import Machine
from pfq.lang.packet import ETHERNET_BYTES
from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.forward import broadcast, lower_broadcast
from pfq.lang.prims.link import BROADCAST, MAC_OFFSETS, mac_addresses
from pfq.lang.prims.steering import double, raw, row, steer
from pfq.lang.prims.table import Prim

MAC_BITS = (1 << 48) - 1
VLAN_ID = 0xFFF


def check_mac(text: str) -> str | None:
    if re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", text):
        return None
    return f'"{text}" is no hardware address: write six pairs of hexadecimal digits, as in "02:00:00:00:00:01"'


def parse_mac(text: str) -> bytes:
    """The hardware address that a text writes, which `check_mac` has let pass."""
    return bytes.fromhex(text.replace(":", ""))


def mac_hash(address: bytes) -> int:
    return raw(address[0:2]) ^ raw(address[2:4]) ^ raw(address[4:6])


def by_macs(m: Machine, decide: Callable[[bytes, bytes], bool]) -> bool:
    """Decides by destination and source; broadcasts go to all, what has no Ethernet header nowhere."""
    match mac_addresses(m, "dst", "src"):
        case [destination, source]:
            return broadcast(m) if BROADCAST in (destination, source) else decide(destination, source)
        case _:
            return False


def steer_link(m: Machine) -> bool:
    return by_macs(m, lambda destination, source: steer(m, mac_hash(destination) ^ mac_hash(source)))


def double_steer_mac(m: Machine) -> bool:
    return by_macs(m, lambda destination, source: double(m, mac_hash(destination), mac_hash(source)))


def steer_local_link(m: Machine, gateway: str) -> bool:
    address = parse_mac(gateway)

    def decide(destination: bytes, source: bytes) -> bool:
        if destination == address:
            return steer(m, mac_hash(source))
        if source == address:
            return steer(m, mac_hash(destination))
        return double(m, mac_hash(destination), mac_hash(source))

    return by_macs(m, decide)


def steer_vlan(m: Machine) -> bool:
    tag = m.packet.outer_tag
    number = 0 if tag is None else tag.tci & VLAN_ID
    return number != 0 and steer(m, number)


def lower_mac(e: Emitter, side: Side) -> Code:
    """A hardware address as it lies in memory, read together with the two bytes behind it."""
    return e.bits(e.load_raw("frame", MAC_OFFSETS[side], 8), e.number(MAC_BITS))


def lower_mac_hash(e: Emitter, address: Code) -> Code:
    words = e.xor(e.xor(address, e.shr(address, 16)), e.shr(address, 32))
    return e.bits(words, e.number(0xFFFF))


def lower_by_macs(e: Emitter, decide: Callable[[Code, Code], None]) -> None:
    def whole() -> None:
        destination, source = lower_mac(e, "dst"), lower_mac(e, "src")
        everyone = e.number(raw(BROADCAST))
        to_all = e.either(e.compare("==", destination, everyone), e.compare("==", source, everyone))
        e.branch(to_all, lambda: lower_broadcast(e), lambda: decide(destination, source))

    e.branch(e.has_frame(ETHERNET_BYTES), whole, e.drop)


def lower_link(e: Emitter) -> None:
    lower_by_macs(e, lambda a, b: e.fanout(Fanout.STEER, lower_mac_hash(e, e.xor(a, b))))


def lower_double(e: Emitter) -> None:
    lower_by_macs(e, lambda a, b: e.fanout(Fanout.DOUBLE, lower_mac_hash(e, a), lower_mac_hash(e, b)))


def lower_local_link(e: Emitter, gateway: str) -> None:
    address = e.number(raw(parse_mac(gateway)))

    def decide(destination: Code, source: Code) -> None:
        to_gateway = e.compare("==", destination, address)
        local = e.select(to_gateway, source, destination)
        e.branch(
            e.either(to_gateway, e.compare("==", source, address)),
            lambda: e.fanout(Fanout.STEER, lower_mac_hash(e, local)),
            lambda: e.fanout(Fanout.DOUBLE, lower_mac_hash(e, destination), lower_mac_hash(e, source)),
        )

    lower_by_macs(e, decide)


def lower_vlan(e: Emitter) -> None:
    present, tci = e.tag()
    number = e.bits(tci, e.number(VLAN_ID))
    tagged = e.both(present, e.compare("!=", number, e.number(0)))
    e.branch(tagged, lambda: e.fanout(Fanout.STEER, number), e.drop)


ROWS: tuple[Prim, ...] = (
    row(
        "steer_link",
        "",
        "Steers both directions between two hardware addresses to one end-point, sends broadcast frames to all, "
        "and drops what has no Ethernet header.",
        steer_link,
        lower_link,
        "steer_link",
    ),
    row(
        "steer_local_link",
        "String -> ",
        "Steers frames from or to the gateway by the other hardware address, frames between two local ones to the "
        "end-points of both, sends broadcast frames to all, and drops what has no Ethernet header.",
        steer_local_link,
        lower_local_link,
        'steer_local_link "02:00:00:00:00:01"',
        check=check_mac,
    ),
    row(
        "double_steer_mac",
        "",
        "Steers to the end-points of the destination and of the source hardware address, sends broadcast frames "
        "to all, and drops what has no Ethernet header.",
        double_steer_mac,
        lower_double,
        "double_steer_mac",
    ),
    row(
        "steer_vlan",
        "",
        "Steers by the number of the outer VLAN, and drops frames without a tag or in VLAN 0.",
        steer_vlan,
        lower_vlan,
        "steer_vlan",
    ),
)
