"""Packets of files as text on standard output."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from pfq.cli.printing.dumps import Dump
from pfq.cli.printing.stamps import Stamp
from pfq.cli.running.outputs import Output
from pfq.columns.ethernet import ETHERNET, as_ethernet

if TYPE_CHECKING:
    from pfq.cli.decode import Decoded, Decoder
    from pfq.files.pipeline import Decided


class TextOutput(Output):
    """A text for each packet, in the order of the file."""

    def __init__(self, decoder: Decoder, line_buffered: bool) -> None:
        self._decoder = decoder
        self._line_buffered = line_buffered

    @abstractmethod
    def text(self, batch: Decided, i: int, decoded: Decoded | None, own_header: int) -> str:
        """One packet, without the end of its line.

        decoded     None when nothing is known of its link type
        own_header  bytes that come before layer 3, in the packet as it is in the file
        """

    def take(self, batch: Decided) -> None:
        frames = as_ethernet(batch.records)
        for i in np.flatnonzero(batch.verdicts["endpoints"]).tolist():
            frame, own = frames.array[i], batch.records.array[i]
            decoded, own_header = None, 0
            if frame["link_type"] == ETHERNET:
                decoded = self._decoder.decode(frames.bytes(i), int(frame["len"]))
                own_header = decoded.link_bytes + int(own["len"]) - int(frame["len"])
            sys.stdout.write(self.text(batch, i, decoded, own_header) + "\n")
            self.packets += 1
            if self._line_buffered:
                sys.stdout.flush()

    def close(self) -> None:
        sys.stdout.flush()


class LineOutput(TextOutput):
    """One line for each packet, as tcpdump prints it."""

    def __init__(
        self, decoder: Decoder, stamp: Stamp, dump: Dump | None, name_endpoints: bool, line_buffered: bool
    ) -> None:
        super().__init__(decoder, line_buffered)
        self._stamp, self._dump = stamp, dump
        self._name_endpoints = name_endpoints

    def text(self, batch: Decided, i: int, decoded: Decoded | None, own_header: int) -> str:
        record = batch.records.array[i]
        said = decoded.text if decoded else f"link-type {record['link_type']}, length {record['len']}"
        of = f"[{','.join(map(str, numbers(batch.verdicts[i])))}] " if self._name_endpoints else ""
        below = self._dump(batch.records.bytes(i), own_header) if self._dump else ""
        return f"{self._stamp(int(record['ts_ns']))}{of}{said}{below}"


class RecordOutput(TextOutput):
    """One JSON object for each packet, on a line of its own."""

    def text(self, batch: Decided, i: int, decoded: Decoded | None, own_header: int) -> str:
        own, verdict = batch.records.array[i], batch.verdicts[i]
        record: dict[str, Any] = {
            "type": "packet",
            "ts_ns": int(own["ts_ns"]),
            "endpoints": numbers(verdict),
            **{name: int(own[name]) for name in ("len", "caplen", "interface", "link_type")},
            **{name: int(verdict[name]) for name in ("mark", "state")},
            "kernel": bool(verdict["kernel"]),
        }
        if decoded:
            record |= decoded.fields | {"text": decoded.text}
        return json.dumps(record)


def numbers(verdict: Any) -> list[int]:
    """The end-points that get the packet."""
    mask = int(verdict["endpoints"])
    return [number for number in range(mask.bit_length()) if mask >> number & 1]
