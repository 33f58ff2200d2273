"""Runs of packets made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.columns import records

from pfq.columns.records import RECORD_DTYPE, Records

FRAMES = [b"abc", b"", b"defgh"]


def test_they_have_the_bytes_of_their_packets() -> None:
    run = records(FRAMES)
    assert len(run) == 3
    assert [run.bytes(i) for i in range(3)] == FRAMES
    assert run.bytes(-1) == b"defgh"
    with pytest.raises(IndexError):
        run.bytes(3)


def test_the_address_is_that_of_the_first_record() -> None:
    run = records(FRAMES)
    assert run.address == run.array.__array_interface__["data"][0]


def test_a_copy_has_bytes_of_its_own() -> None:
    run = records(FRAMES)
    memory = run.keep
    assert isinstance(memory, np.ndarray)
    copy = run.copy()
    memory = np.frombuffer(bytearray(b"abcdefgh"), np.uint8)
    moved = Records(run.array.copy(), memory)
    moved.array["data"] = memory.ctypes.data
    copied = moved.copy()
    memory[:] = 0
    assert moved.bytes(2) == bytes(5)
    assert copied.bytes(2) == b"abcde"
    assert [copy.bytes(i) for i in range(3)] == FRAMES
    assert copy.array["ts_ns"].tolist() == run.array["ts_ns"].tolist()


def test_other_arrays_are_refused() -> None:
    for wrong in (np.zeros(3, np.uint8), np.zeros((2, 2), RECORD_DTYPE)):
        with pytest.raises(TypeError, match="one-dimensional arrays of RECORD_DTYPE"):
            Records(wrong, None)


def test_records_apart_become_records_in_a_row() -> None:
    run = records([bytes([i]) for i in range(10)])
    every_third = Records(run.array[::3], run.keep)
    assert every_third.array.flags.c_contiguous
    assert [every_third.bytes(i) for i in range(4)] == [b"\0", b"\3", b"\6", b"\x09"]
