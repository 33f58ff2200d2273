"""Data frames of pandas have what the columns have."""

from __future__ import annotations

import numpy as np
import pytest
from support.columns import records

from pfq.columns.arrow import Nullable
from pfq.columns.dataframe import frame
from pfq.files.batch import FileBatch

pandas = pytest.importorskip("pandas", reason="pandas is not installed")

VALID = np.array([True, False])


def test_each_kind_of_column() -> None:
    addresses = np.zeros((2, 16), np.uint8)
    addresses[0, 10:] = 255, 255, 10, 0, 0, 1
    made = frame(
        pandas,
        {
            "plain": np.array([1, 2], np.uint16),
            "some": Nullable(np.array([1, 2], np.uint16), VALID),
            "truth": np.array([True, False]),
            "time": Nullable(np.array([10**18, 0], np.uint64).view("M8[ns]"), VALID),
            "address": Nullable(addresses, VALID),
            "text": np.array([b"idle", b""]),
            "bytes": records([b"abc", b"\0"]),
            "some_bytes": Nullable(records([b"abc", b"\0"]), VALID),
        },
    )
    assert made["plain"].dtype == np.uint16
    assert made["plain"].tolist() == [1, 2]
    assert str(made["some"].dtype) == "UInt16"
    assert made["some"].isna().tolist() == [False, True]
    assert made["truth"].tolist() == [True, False]
    assert made["time"][0] == pandas.Timestamp(10**18, tz="UTC")
    assert str(made["time"].dtype) == "datetime64[ns, UTC]"
    assert pandas.isna(made["time"][1])
    assert made["address"].isna().tolist() == [False, True]
    assert made["address"][0] == "10.0.0.1"
    assert made["text"].tolist() == ["idle", ""]
    assert made["bytes"].tolist() == [b"abc", b"\0"]
    assert made["some_bytes"].isna().tolist() == [False, True]


def test_it_does_not_share_memory_with_the_batch() -> None:
    batch = FileBatch(records([b"abc", b"defg"]))
    made = batch.to_pandas()
    batch.records.array["len"] = 0
    assert made["len"].tolist() == [3, 4]
    assert made.columns.tolist() == list(FileBatch.TABLE)


def test_a_batch_without_packets() -> None:
    made = FileBatch(records([])).to_pandas()
    assert made.shape == (0, len(FileBatch.TABLE))
