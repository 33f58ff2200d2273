"""Where captured packets go. A sink takes the batches of one round and counts what it took."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pfq.cli.printing.dumps import Dump
from pfq.cli.printing.stamps import Stamp

if TYPE_CHECKING:
    from pfq.cli.decode import Decoder
    from pfq.engine.statistics import CaptureStatistics
    from pfq.files.writing import PacketWriter
    from pfq.ring.batch import Batch

Round = Sequence[tuple[int, "Batch"]]
"""Batches with the numbers of the end-points they came from."""


class Sink(ABC):
    """packets: taken so far; at_a_time: how many a batch should have at most; full: no more are taken."""

    at_a_time = 512
    packets = 0
    full = False

    @abstractmethod
    def take(self, batches: Round) -> None:
        """Takes the packets of all batches."""

    @abstractmethod
    def pause(self) -> None:
        """There are no packets just now."""

    @abstractmethod
    def close(self, statistics: CaptureStatistics) -> None:
        """No more packets will come."""


class FileSink(Sink):
    """A capture file, or a row of them. Batches go there whole, without a look at single packets."""

    at_a_time = 16_384

    def __init__(self, writer: PacketWriter) -> None:
        self._writer = writer

    def take(self, batches: Round) -> None:
        try:
            for _, batch in batches:
                self._writer.write(batch)
        finally:
            self.packets, self.full = self._writer.packets, self._writer.full

    def pause(self) -> None:
        """What is written is in the file already."""

    def close(self, statistics: CaptureStatistics) -> None:
        self._writer.close(statistics)


class TextSink(Sink):
    """Packets as text on standard output, in the order of their time within a round."""

    def __init__(self, line_buffered: bool) -> None:
        self._line_buffered = line_buffered

    @abstractmethod
    def text(self, endpoint: int, batch: Batch, i: int, ts_ns: int) -> str:
        """One packet, without the end of its line."""

    def take(self, batches: Round) -> None:
        for ts_ns, endpoint, batch, i in in_order(batches):
            sys.stdout.write(self.text(endpoint, batch, i, ts_ns) + "\n")
            self.packets += 1
            if self._line_buffered:
                sys.stdout.flush()

    def pause(self) -> None:
        sys.stdout.flush()

    def close(self, statistics: CaptureStatistics) -> None:
        sys.stdout.flush()


def in_order(batches: Round) -> list[tuple[int, int, Batch, int]]:
    """(time, end-point, batch, index) of the packets of a round, oldest first."""
    rows = [(ts_ns, at, batch, i) for at, batch in batches for i, ts_ns in enumerate(batch.ts_ns.tolist())]
    if len(batches) > 1:
        rows.sort(key=lambda row: row[0])
    return rows


class LineSink(TextSink):
    """One line for each packet, as tcpdump prints it."""

    def __init__(
        self, decoder: Decoder, stamp: Stamp, dump: Dump | None, name_endpoints: bool, line_buffered: bool
    ) -> None:
        super().__init__(line_buffered)
        self._decoder, self._stamp, self._dump = decoder, stamp, dump
        self._name_endpoints = name_endpoints

    def text(self, endpoint: int, batch: Batch, i: int, ts_ns: int) -> str:
        frame = batch.bytes(i)
        decoded = self._decoder.decode(frame, int(batch.len[i]))
        of = f"[{endpoint}] " if self._name_endpoints else ""
        below = self._dump(frame, decoded.link_bytes) if self._dump else ""
        return f"{self._stamp(ts_ns)}{of}{decoded.text}{below}"


class RecordSink(TextSink):
    """One JSON object for each packet, on a line of its own."""

    def __init__(self, decoder: Decoder, line_buffered: bool) -> None:
        super().__init__(line_buffered)
        self._decoder = decoder

    def text(self, endpoint: int, batch: Batch, i: int, ts_ns: int) -> str:
        decoded = self._decoder.decode(batch.bytes(i), int(batch.len[i]))
        columns = ("len", "caplen", "ifindex", "queue", "mark", "state", "vlan_tci", "group")
        record: dict[str, Any] = {"type": "packet", "ts_ns": ts_ns, "endpoint": endpoint}
        record |= {name: int(getattr(batch, name)[i]) for name in columns}
        return json.dumps(record | decoded.fields | {"text": decoded.text})
