"""Captures on a veth pair: opening them, sending numbered packets of flows, and what end-points received."""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from root.network import Pair, Sender, eventually

import pfq
from pfq.engine.capture import Capture
from pfq.engine.hooks import HookChoice
from pfq.engine.statistics import CaptureStatistics
from pfq.ring.reader import Reader

MODES: tuple[HookChoice, ...] = ("xdp", "xdp-generic", "tcx", "clsact")
NEEDS_TCX = pytest.mark.feature("tcx")

FLOWS = 16
"""Flows of `flow_frame`; consecutive packets of a flow go in opposite directions."""
FRAME_BYTES = 64
NUMBER_AT = 42
BROADCAST_MAC = b"\xff" * 6
SENDER_MAC = b"\x02pfqt\x00"
CPU = min(os.sched_getaffinity(0))
"""Where senders run: with all packets on one CPU, one ring of each end-point is used."""

Rows = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def opened(pair: Pair, program: Any = None, **options: Any) -> Capture:
    """A capture of what arrives at `dev_b`, made inside its namespace."""
    return pair.b.call(pfq.capture, pair.dev_b, program, **options)


# what is sent


def udp4(src: bytes, dst: bytes, ports: tuple[int, int], payload: bytes, mac: bytes = BROADCAST_MAC) -> bytes:
    """A UDP datagram over IPv4 in an Ethernet frame, with a right header checksum and none for UDP."""
    size = 28 + len(payload)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, src, dst)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", 0xFFFF - (total & 0xFFFF) - (total >> 16)) + head[12:]
    return mac + SENDER_MAC + b"\x08\x00" + head + struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def _template(number: int) -> bytes:
    flow, is_reply = number % FLOWS, number // FLOWS % 2
    ends = [bytes((10, 7, 0, 1 + flow)), bytes((10, 7, 1, 1))]
    ports = (1000 + flow, 53)
    if is_reply:
        ends, ports = ends[::-1], ports[::-1]
    return udp4(ends[0], ends[1], ports, bytes(FRAME_BYTES - NUMBER_AT))


TEMPLATES = [_template(number) for number in range(2 * FLOWS)]


def flow_frame(number: int) -> bytes:
    """Packet `number` of all flows together: UDP in 64 bytes, with the number behind the headers."""
    template = TEMPLATES[number % len(TEMPLATES)]
    return template[:NUMBER_AT] + number.to_bytes(4, "big") + template[NUMBER_AT + 4 :]


@contextmanager
def pinned(cpu: int = CPU) -> Iterator[None]:
    """This thread stays on one CPU for the moment."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def send(sender: Sender, frames: Iterable[bytes], rate_pps: int | None = None) -> int:
    """Sends from one CPU, at a rate or as fast as it goes; how many."""
    source, sent, start = iter(frames), 0, time.monotonic()
    with pinned():
        while some := list(itertools.islice(source, 50)):
            sent += sender.send(some)
            if rate_pps is not None:
                time.sleep(max(0.0, start + sent / rate_pps - time.monotonic()))
    return sent


# what is received


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, copied out of its slot. The fields are those of the slot's header."""

    data: bytes
    ts_ns: int
    len: int
    caplen: int
    ifindex: int
    mark: int
    state: int
    queue: int
    vlan_tci: int
    group: int


_COLUMNS = [field.name for field in fields(Packet) if field.name != "data"]


def packets(reader: Reader) -> list[Packet]:
    """All packets until the reader ends."""
    found = []
    for batch in reader:
        columns = {name: getattr(batch, name).tolist() for name in _COLUMNS}
        found += [
            Packet(batch.bytes(i), **{name: column[i] for name, column in columns.items()}) for i in range(len(batch))
        ]
    return found


@dataclass(frozen=True)
class Flows:
    """What an end-point got of `flow_frame`s: a row of bytes for each packet, in the order of reading."""

    rows: Rows
    lens: Numbers
    rings: frozenset[int]

    @property
    def numbers(self) -> Numbers:
        return self.rows[:, NUMBER_AT : NUMBER_AT + 4].copy().view(">u4")[:, 0].astype(np.int64)

    @property
    def flows(self) -> set[int]:
        return set((self.numbers % FLOWS).tolist())

    def check(self) -> None:
        """Every packet is whole, and the packets of each flow are in order, none twice."""
        numbers = self.numbers
        wanted = np.frombuffer(b"".join(TEMPLATES), np.uint8).reshape(-1, FRAME_BYTES)[numbers % len(TEMPLATES)].copy()
        wanted[:, NUMBER_AT : NUMBER_AT + 4] = numbers.astype(">u4")[:, None].view(np.uint8)
        assert np.array_equal(self.rows, wanted), "every byte is as it was sent"
        assert (self.lens == FRAME_BYTES).all()
        for flow in range(FLOWS):
            assert (np.diff(numbers[numbers % FLOWS == flow]) > 0).all(), f"flow {flow} is in order"


def flows(reader: Reader, pause: float = 0.0) -> Flows:
    """Reads until the reader ends; `pause` seconds between batches make it slow."""
    rows, lens, rings = [np.empty((0, FRAME_BYTES), np.uint8)], [np.empty(0, np.int64)], set()
    for batch in reader:
        rows.append(np.array(batch.data[:, :FRAME_BYTES]))
        lens.append(np.array(batch.len, np.int64))
        rings.add(batch.ring)
        if pause:
            time.sleep(pause)
    return Flows(np.concatenate(rows), np.concatenate(lens), frozenset(rings))


@contextmanager
def reading(capture: Capture, pause: float = 0.0, but: int | None = None) -> Iterator[list[Flows]]:
    """A thread for each end-point, but one, reads while the block runs; after it the list has what they got."""
    got: list[Flows] = []
    readers = [reader for number, reader in enumerate(capture) if number != but]
    with ThreadPoolExecutor(len(readers)) as pool:
        futures = [pool.submit(flows, reader, pause) for reader in readers]
        try:
            yield got
        finally:
            capture.stop()
        got += [future.result() for future in futures]


def settled(capture: Capture, arrived: int) -> CaptureStatistics:
    """The counters once so many packets have arrived. No other packets come on these devices."""
    eventually(lambda: capture.statistics().arrived >= arrived, 5.0)
    statistics = capture.statistics()
    assert statistics.arrived == arrived
    return statistics


def check_identities(statistics: CaptureStatistics) -> None:
    """Every packet is in exactly one place of each equation."""
    (group,) = statistics.groups
    assert group.arrived == group.filtered + group.dropped + group.selected
    for endpoint in statistics.endpoints:
        assert endpoint.selected == endpoint.delivered + endpoint.lost
        assert endpoint.delivered == endpoint.read + endpoint.waiting
