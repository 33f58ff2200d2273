"""Decoded headers are what the interpreter reads, whatever the frame."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from support.campaign import pool
from support.columns import expected, records
from support.frames import ethernet, ethernet_captures, ethernet_frames, ip4, tcp

from pfq import layout
from pfq.codegen import columns as codegen
from pfq.columns.headers import HEADERS_DTYPE, decode
from pfq.columns.records import Array

FRAMES = list({frame: None for path in ethernet_captures() for frame in ethernet_frames(path)})
TCI = 0x6123


def rows(found: Array) -> list[dict[str, object]]:
    """The rows as dictionaries; addresses as bytes."""
    columns = {
        name: [row.tobytes() for row in found[name]] if found[name].ndim > 1 else found[name].tolist()
        for name in found.dtype.names or ()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def agree(frames: Sequence[bytes], tci: int) -> None:
    for frame, row in zip(frames, rows(decode(records(frames, tci=tci))), strict=True):
        assert row == expected(frame, tci), frame.hex()


@pytest.mark.parametrize("tci", [0, TCI], ids=["as it is", "tag taken off"])
def test_every_frame_of_every_capture(tci: int) -> None:
    assert len(FRAMES) > 5000
    agree(FRAMES, tci)


@pytest.mark.parametrize("tci", [0, TCI], ids=["as it is", "tag taken off"])
def test_odd_frames(tci: int) -> None:
    agree(pool(), tci)


def test_every_cut_of_a_frame() -> None:
    whole = ethernet(ip4(tcp(1024, 80, payload=b"x" * 8), 6), 0x0800, [(0x88A8, 7), (0x8100, 9)])
    agree([whole[:size] for size in range(len(whole) + 1)], 0)


def test_all_fields_are_met_in_the_captures() -> None:
    found = decode(records(FRAMES))
    for name in found.dtype.names or ():
        assert len(np.unique(found[name])) > 1, name
    assert np.bitwise_or.reduce(found["has"]) == 31


def test_nothing_is_left_of_what_was_in_the_memory_before() -> None:
    """The function writes every byte of a row, also for a frame without any header."""
    out = np.full(64, 0xAA, np.uint8)
    codegen.header_reader().read(records([b""]).address, 1, int(out.ctypes.data))
    assert not out.any()


def test_no_packets() -> None:
    assert decode(records([])).tolist() == []


def test_the_structure_is_one_cache_line() -> None:
    assert HEADERS_DTYPE.itemsize == layout.HEADERS_BYTES == 64


def test_it_is_compiled_once_also_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(codegen.HeaderReader):
        def __init__(self) -> None:
            made.append(self)
            super().__init__()

    monkeypatch.setattr(codegen, "_reader", None)
    monkeypatch.setattr(codegen, "HeaderReader", Counted)
    threads = 4
    together = Barrier(threads)

    def work(_: int) -> bytes:
        together.wait()
        return decode(records(FRAMES[:50])).tobytes()

    with ThreadPoolExecutor(threads) as workers:
        (one,) = set(workers.map(work, range(threads)))
    assert rows(np.frombuffer(one, HEADERS_DTYPE))[0] == expected(FRAMES[0])
    assert len(made) == 1
