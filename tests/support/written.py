"""Looking into capture files that were written, byte by byte, and writing them to small disks."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PCAP_HEADER = 24


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Type and body of each block, all of which are whole."""
    data = path.read_bytes()
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        yield kind, data[8 : size - 4]
        data = data[size:]


def options(data: bytes) -> dict[int, bytes]:
    """The options of a block, from where they begin."""
    found = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        found[code] = data[4 : 4 + size]
        data = data[4 + (size + 3) // 4 * 4 :]
    return found


def pcap_records(path: Path) -> list[tuple[int, int, int, bytes]]:
    """Seconds, units, length and bytes of each record, all of which are whole."""
    data, at, found = path.read_bytes(), PCAP_HEADER, []
    while at < len(data):
        seconds, units, caplen, size = struct.unpack_from("<IIII", data, at)
        assert at + 16 + caplen <= len(data)
        found.append((seconds, units, size, data[at + 16 : at + 16 + caplen]))
        at += 16 + caplen
    return found


def small_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """From now on there is room for so many bytes, in all files together."""
    left = [room]
    really = os.write

    def write(fd: int, data: Any) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        size = min(left[0], len(data))
        left[0] -= size
        return really(fd, data[:size])

    monkeypatch.setattr(os, "write", write)
