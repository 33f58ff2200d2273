"""What flows are, in plain Python: a dictionary and no clock but that of the packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from pfq.columns.headers import HEADERS_DTYPE
from pfq.columns.records import RECORD_DTYPE, Records
from pfq.flow.batch import END_REASONS, FlowBatch

FIN, SYN, RST, ACK = 1, 2, 4, 16
LINGER_NS = 5_000_000_000

End = tuple[bytes, int]
"""Address of 16 bytes and port."""


class Packet(NamedTuple):
    """A packet, its headers read. `version` 0: not IP."""

    ts_ns: int
    src: End
    dst: End
    version: int = 4
    proto: int = 17
    flags: int = 0
    len: int = 60
    interface: int = 0


@dataclass
class Flow:
    """A flow, both directions: [0] is that of the first packet."""

    src: End
    dst: End
    version: int
    proto: int
    interface: int
    begun: int
    seen: int = 0
    times: list[int] = field(default_factory=list)
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    flags: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def closed(self) -> bool:
        return bool((self.flags[0] | self.flags[1]) & RST or self.flags[0] & self.flags[1] & FIN)

    def row(self, reason: str) -> tuple[Any, ...]:
        return (
            *(*self.src, *self.dst, self.proto, self.version, self.interface),
            *(min(self.times), max(self.times), *self.packets, *self.bytes, *self.flags),
            "closed" if self.closed else reason,
        )


class Reference:
    """A flow table; `ended` has the rows of flows that have ended, in that order."""

    def __init__(self, idle_ns: int, active_ns: int, max_flows: int = 1 << 28) -> None:
        self.idle_ns, self.active_ns, self.max_flows = idle_ns, active_ns, max_flows
        self.flows: dict[Any, Flow] = {}  # the one that was quiet the longest first
        self.ended: list[tuple[Any, ...]] = []
        self.not_ip = self.now = 0

    def add(self, packet: Packet) -> None:
        self.expire(packet.ts_ns)
        if packet.version == 0:
            self.not_ip += 1
            return
        key = (frozenset({packet.src, packet.dst}), packet.version, packet.proto)
        flow = self.flows.get(key)
        if flow is not None:
            again = flow.closed and packet.flags & (SYN | ACK) == SYN
            if again or self.now - flow.begun >= self.active_ns:
                self.end(key, "active")
                flow = None
        if flow is None:
            if len(self.flows) == self.max_flows:
                self.end(min(self.flows, key=lambda key: not self.flows[key].closed), "full")
            flow = Flow(packet.src, packet.dst, packet.version, packet.proto, packet.interface, self.now)
        self.flows.pop(key, None)
        self.flows[key] = flow
        back = (packet.src, packet.dst) != (flow.src, flow.dst)
        flow.seen = self.now
        flow.times.append(packet.ts_ns or self.now)
        flow.packets[back] += 1
        flow.bytes[back] += packet.len
        flow.flags[back] |= packet.flags

    def expire(self, now: int) -> None:
        self.now = max(self.now, now)
        for closed, limit in ((False, self.idle_ns), (True, min(self.idle_ns, LINGER_NS))):
            for key in self.quiet(limit):
                if self.flows[key].closed == closed:
                    self.end(key, "idle")

    def quiet(self, limit: int) -> list[Any]:
        """The keys of flows without a packet for so long."""
        return [key for key, _ in takewhile(lambda item: self.now - item[1].seen >= limit, self.flows.items())]

    def close(self) -> None:
        for key in sorted(self.flows, key=lambda key: not self.flows[key].closed):
            self.end(key, "end")

    def end(self, key: Any, reason: str) -> None:
        self.ended.append(self.flows.pop(key).row(reason))


def rows(batch: FlowBatch) -> list[tuple[Any, ...]]:
    """The flows of a batch as the reference has them."""
    return [
        (
            *(flow["src"].tobytes(), int(flow["src_port"]), flow["dst"].tobytes(), int(flow["dst_port"])),
            *(int(flow[name]) for name in ("proto", "ip_version", "interface", "first_ns", "last_ns")),
            *(int(flow[name]) for name in ("packets", "packets_back", "bytes", "bytes_back")),
            *(int(flow[name]) for name in ("tcp_flags", "tcp_flags_back")),
            END_REASONS[int(flow["end_reason"])],
        )
        for flow in batch.array
    ]


def decoded(packets: list[Packet]) -> tuple[Records, np.ndarray[Any, Any]]:
    """The packets as records without bytes, and their headers."""
    records = np.zeros(len(packets), RECORD_DTYPE)
    headers = np.zeros(len(packets), HEADERS_DTYPE)
    for record, header, packet in zip(records, headers, packets, strict=True):
        record["ts_ns"], record["len"], record["interface"] = packet.ts_ns, packet.len, packet.interface
        record["link_type"] = 1
        header["ip_version"], header["proto"], header["tcp_flags"] = packet.version, packet.proto, packet.flags
        for end, (address, port) in (("src", packet.src), ("dst", packet.dst)):
            header[end] = np.frombuffer(address, np.uint8)
            header[f"{end}_port"] = port
    return Records(records, None), headers


def packets_of(records: Records, headers: np.ndarray[Any, Any]) -> list[Packet]:
    """Decoded packets one by one, for the reference."""
    return [
        Packet(
            int(record["ts_ns"]),
            (header["src"].tobytes(), int(header["src_port"])),
            (header["dst"].tobytes(), int(header["dst_port"])),
            int(header["ip_version"]),
            int(header["proto"]),
            int(header["tcp_flags"]),
            int(record["len"]),
            int(record["interface"]),
        )
        for record, header in zip(records.array, headers, strict=True)
    ]
