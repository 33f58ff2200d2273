"""Records made by hand, and what the interpreter says of their headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pfq.columns.records import RECORD_DTYPE, Records
from pfq.lang.action import Fanout
from pfq.lang.interp import Machine, World
from pfq.lang.packet import Packet, Tag, number
from pfq.lang.prims import PRIMS
from pfq.lang.prims.properties import UDP_BYTES, tcp_header_length, traffic_class

ETHERNET = 1
VLAN = 0x8100


def records(frames: Sequence[bytes], *, tci: int = 0, link_type: int = ETHERNET, interface: int = 0) -> Records:
    """A run of these frames, a millisecond apart, in memory that ends with the last byte.

    tci  of a tag that the device took off each
    """
    memory = np.frombuffer(b"".join(frames), np.uint8)
    array = np.zeros(len(frames), RECORD_DTYPE)
    lengths = np.array([len(frame) for frame in frames], np.uint32)
    array["ts_ns"] = 1_600_000_000 * 10**9 + np.arange(len(frames), dtype=np.uint64) * 1_000_000
    array["data"] = memory.ctypes.data + np.cumsum(lengths) - lengths
    array["len"] = array["caplen"] = lengths
    array["vlan_tci"] = tci
    array["link_type"] = link_type
    array["interface"] = interface
    return Records(array, memory)


def expected(frame: bytes, tci: int = 0) -> dict[str, Any]:
    """What the reference functions say of a frame, 0 where they say nothing."""
    packet = Packet(frame, Tag(VLAN, tci) if tci else None)
    machine = Machine(packet, 0, World(), {})
    ip, flow = machine.headers.ip, machine.headers.flow
    tag = packet.outer_tag
    steers = PRIMS["steer_flow"].run(machine) and machine.action.fanout is Fanout.STEER
    l4 = ip.l4 if ip is not None and ip.l4 is not None else 0
    own = 0 if flow is None else tcp_header_length(flow) if machine.headers.tcp else UDP_BYTES

    def prop(name: str) -> int:
        return PRIMS[name].run(machine) or 0

    return {
        "src": address(ip.src) if ip else bytes(16),
        "dst": address(ip.dst) if ip else bytes(16),
        "flow_hash": machine.action.hash if steers else 0,
        "payload_len": prop("payload_len"),
        "src_port": number(flow[0:2]) if flow else 0,
        "dst_port": number(flow[2:4]) if flow else 0,
        "ether_type": packet.ethertype or 0,
        "vlan_tci": tag.tci if tag else 0,
        "vlan": tag.tci & 0xFFF if tag else 0,
        "l3_offset": ip.at if ip else 0,
        "l4_offset": l4,
        "payload_offset": l4 + own if flow else 0,
        "ip_version": ip.version if ip else 0,
        "proto": (ip.proto or 0) if ip else 0,
        "ttl": prop("ip_hop"),
        "tos": traffic_class(ip) if ip else 0,
        "tcp_flags": prop("tcp_flags"),
        "is_fragment": int(ip is not None and ip.fragment),
        "has": (packet.ethertype is not None)
        | (tag is not None) << 1
        | (ip is not None and ip.proto is not None) << 2
        | (flow is not None) << 3
        | bool(steers) << 4,
    }


def address(packed: bytes) -> bytes:
    """An address as columns have it."""
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed
