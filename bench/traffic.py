"""Capture files to measure with: classic pcap, made by NumPy, millions of packets in a second.

The packets are those of flows between 4,096 clients and 64 servers: TCP, and DNS for every eighth flow. A packet
belongs to any flow and goes in either direction; the times are 2 microseconds apart.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FLOWS = 50_000
SMALL = 60
"""Bytes of the smallest frame, without its checksum."""

MIX = np.array([60] * 7 + [590] * 4 + [1514])
"""Lengths as on the Internet: seven small frames, four of medium size, a large one ("simple IMIX")."""

STEP_US = 2
_CHUNK = 1 << 18
_START_S = 1_700_000_000

_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
_RECORD = np.dtype([
    *(("seconds", "<u4"), ("micros", "<u4"), ("caplen", "<u4"), ("len", "<u4")),
    *(("macs", "u1", 12), ("ether_type", ">u2")),
    *(("version", "u1"), ("tos", "u1"), ("length", ">u2"), ("id", ">u2"), ("part", ">u2"), ("ttl", "u1")),
    *(("proto", "u1"), ("checksum", ">u2"), ("src", ">u4"), ("dst", ">u4"), ("src_port", ">u2"), ("dst_port", ">u2")),
    *(("rest", "u1", 16),),
])  # fmt: skip
"""Header of a record and of its frame. `rest` of TCP: numbers, length, flags, window; of UDP: length, data."""

_TCP_REST = np.frombuffer(bytes.fromhex("00000001000000025010040000000000"), np.uint8)


def write(path: Path, packets: int, sizes: Array | None = None, flows: int = FLOWS) -> int:
    """Writes a file of so many packets and returns its size in bytes.

    sizes  lengths of frames, one of which each packet gets; all are `SMALL` by default
    """
    rng = np.random.default_rng(4)
    with path.open("wb") as file:
        file.write(_FILE_HEADER)
        for first in range(0, packets, _CHUNK):
            count = min(_CHUNK, packets - first)
            lengths = np.full(count, SMALL) if sizes is None else rng.choice(sizes, count)
            file.write(_laid_out(_headers(rng, first, lengths, flows), lengths).data)
        return file.tell()


def _headers(rng: np.random.Generator, first: int, lengths: Array, flows: int) -> Array:
    """The records of one chunk, without what follows the headers."""
    made = np.zeros(len(lengths), _RECORD)
    time_us = STEP_US * (first + np.arange(len(made)))
    made["seconds"], made["micros"] = _START_S + time_us // 1_000_000, time_us % 1_000_000
    made["caplen"] = made["len"] = lengths
    flow, reply = rng.integers(0, flows, len(made)), rng.random(len(made)) < 0.5
    dns = flow % 8 == 0
    client, server = 0x0A000001 + flow % 4096, 0xC0A80001 + flow % 64
    client_port, server_port = 1024 + flow % 60_000, np.where(dns, 53, 443)
    made["macs"], made["ether_type"] = np.frombuffer(b"\x02client\x02server"[:12], np.uint8), 0x0800
    made["version"], made["ttl"], made["proto"] = 0x45, 64, np.where(dns, 17, 6)
    made["length"], made["id"] = lengths - 14, flow & 0xFFFF
    made["src"], made["dst"] = np.where(reply, server, client), np.where(reply, client, server)
    made["src_port"] = np.where(reply, server_port, client_port)
    made["dst_port"] = np.where(reply, client_port, server_port)
    made["rest"][~dns] = _TCP_REST
    made["rest"][dns, :2] = (lengths[dns] - 34).astype(">u2")[:, None].view(np.uint8)
    return made


def _laid_out(headers: Array, lengths: Array) -> Array:
    """The bytes of the chunk: each header and, up to the length of the frame, zeros."""
    known = _RECORD.itemsize
    rows = headers.view(np.uint8).reshape(-1, known)
    ends = np.cumsum(lengths + 16)
    out = np.zeros(ends[-1], np.uint8)
    if (lengths == lengths[0]).all():
        out.reshape(len(rows), -1)[:, :known] = rows
        return out
    starts = ends - lengths - 16
    for column in range(known):
        out[starts + column] = rows[:, column]
    return out
