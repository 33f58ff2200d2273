"""What the demonstration replays: the frames of a capture, and which flow each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pfq.files import read_frames
from pfq.lang.action import Fanout
from pfq.lang.interp import decide
from pfq.lang.packet import TCP, UDP, Packet
from pfq.lang.program import Program

KEY_BYTES = 64
"""Bytes from the start of a frame that tell it from the others of the capture."""
UNSELECTED = -1

Numbers = npt.NDArray[np.int64]


def flow_name(frame: bytes) -> tuple[Any, ...]:
    """The same for both directions of a flow: the two (address, port) ends in order, and the protocol."""
    headers = Packet(frame).level(0)
    ip = headers.ip
    assert ip is not None, "only selected frames have a flow"
    ports = headers.l4(4) if ip.proto in (TCP, UDP) and not ip.fragment else None
    ends = sorted([(ip.src, ports[0:2] if ports else b""), (ip.dst, ports[2:4] if ports else b"")])
    return (*ends, ip.proto if ports else None)


@dataclass(frozen=True)
class Traffic:
    """A capture, and what a program makes of it.

    frames  in the order of the file
    flows   for each frame the number of its flow, UNSELECTED when the program drops it
    """

    frames: tuple[bytes, ...]
    flows: Numbers

    @classmethod
    def load(cls, path: Path, program: Program) -> Traffic:
        frames = tuple(frame.data for frame in read_frames(path))
        numbers: dict[tuple[Any, ...], int] = {}
        flows = [
            UNSELECTED
            if decide(program, frame).fanout is Fanout.DROP
            else numbers.setdefault(flow_name(frame), len(numbers))
            for frame in frames
        ]
        return cls(frames, np.array(flows, np.int64))

    @property
    def flow_count(self) -> int:
        return int(self.flows.max()) + 1

    @property
    def packets_of_flows(self) -> Numbers:
        """How many packets of each flow one replay has."""
        return np.bincount(self.flows[self.flows != UNSELECTED], minlength=self.flow_count)


class FlowFinder:
    """Tells the flow of received frames, many at once, by their first bytes."""

    def __init__(self, traffic: Traffic) -> None:
        self._weights = np.random.default_rng(1).integers(1, 1 << 63, KEY_BYTES, dtype=np.uint64)
        heads = np.zeros((len(traffic.frames), KEY_BYTES), np.uint8)
        for row, frame in zip(heads, traffic.frames, strict=True):
            row[: len(frame)] = np.frombuffer(frame[:KEY_BYTES], np.uint8)
        keys = self._keys(heads, np.array([len(frame) for frame in traffic.frames]))
        order = np.argsort(keys, kind="stable")
        self._known, self._flows = keys[order], traffic.flows[order]

    def _keys(self, heads: npt.NDArray[np.uint8], lengths: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        inside = np.arange(KEY_BYTES) < lengths[:, None]
        return (heads * inside).astype(np.uint64) @ self._weights + lengths.astype(np.uint64)

    def flows(self, data: npt.NDArray[np.uint8], lengths: npt.NDArray[Any]) -> Numbers:
        """Flow numbers for frames given as rows of bytes; UNSELECTED for a frame not in the capture."""
        keys = self._keys(np.asarray(data[:, :KEY_BYTES]), lengths)
        at = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        return np.where(self._known[at] == keys, self._flows[at], UNSELECTED)
