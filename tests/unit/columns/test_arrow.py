"""Columns as Arrow tables, as PyArrow, Polars and DuckDB see them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.columns import address, records

from pfq.columns.arrow import ArrowStream, ArrowTable, Nullable
from pfq.errors import FileFormatError, UsageError

pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")

ROWS = 11
PRESENT = np.arange(ROWS) % 3 != 0
NUMBERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f8")


def values_of(column: Any) -> list[Any]:
    table = pyarrow.table(ArrowTable({"x": column}))
    table.validate(full=True)
    found: list[Any] = table["x"].to_pylist()
    return found


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("step", [1, 2, -1])
def test_numbers(kind: str, step: int) -> None:
    """In a row or apart."""
    column = np.arange(100, 100 + ROWS * 2).astype(kind)[: ROWS * 2 : step]
    found = pyarrow.table(ArrowTable({"x": column}))
    assert found.schema.field("x").type == pyarrow.from_numpy_dtype(column.dtype)
    assert not found.schema.field("x").nullable
    assert found["x"].to_pylist() == column.tolist()


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 64, 1000])
def test_missing_values(rows: int) -> None:
    valid = np.random.default_rng(rows).random(rows) < 0.5
    found = values_of(Nullable(np.arange(rows, dtype=np.uint16), valid))
    assert found == [number if there else None for number, there in enumerate(valid.tolist())]


def test_bools() -> None:
    assert values_of(PRESENT) == PRESENT.tolist()
    assert values_of(Nullable(PRESENT, PRESENT)) == [True if there else None for there in PRESENT]


def test_times() -> None:
    found = values_of(Nullable(np.array([0, 1_600_000_000 * 10**9], "M8[ns]"), np.array([False, True])))
    assert found[0] is None
    assert found[1].to_pydatetime() == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


def test_addresses_become_text() -> None:
    texts = ["10.0.0.1", "2001:db8::1", "::", "255.255.255.255"]
    packed = b"".join(address(ip_address(text).packed) for text in texts)
    rows = np.frombuffer(packed, np.uint8).reshape(-1, 16)
    assert values_of(rows) == texts
    assert values_of(Nullable(rows, np.array([1, 0, 0, 1], np.bool_))) == [texts[0], None, None, texts[3]]
    assert values_of(rows[::-2]) == [texts[3], texts[1]]


def test_text_of_fixed_width() -> None:
    assert values_of(np.array([b"idle", b"", b"active"])) == ["idle", "", "active"]


def test_bytes_of_packets() -> None:
    run = records([b"abc", b"", b"\0\1"])
    assert values_of(run) == [b"abc", b"", b"\0\1"]
    assert values_of(Nullable(run, np.array([0, 1, 1], np.bool_))) == [None, b"", b"\0\1"]


def test_more_bytes_than_a_column_holds() -> None:
    run = records([b"abc", b""])
    run.array["caplen"] = 1 << 30
    with pytest.raises(UsageError, match="over 2 GiB of text or bytes"):
        ArrowTable({"data": run}).new_array()


@pytest.mark.parametrize(
    "column", [np.zeros(3, "M8[s]"), np.zeros((3, 4), np.uint8), np.zeros(3, ">u4"), np.array(["x"]), np.zeros(2, "f2")]
)
def test_other_forms_are_refused(column: Any) -> None:
    with pytest.raises(UsageError, match="column `x` cannot be exported"):
        ArrowTable({"x": column}).new_schema()


def test_lengths_must_agree() -> None:
    for wrong in ({}, {"a": np.zeros(2), "b": np.zeros(3)}):
        with pytest.raises(UsageError, match="columns of one length"):
            ArrowTable(wrong)


def table() -> ArrowTable:
    packed = np.zeros((ROWS, 16), np.uint8)
    return ArrowTable({"n": np.arange(ROWS), "there": Nullable(np.arange(ROWS), PRESENT), "address": packed})


def test_it_says_what_it_is() -> None:
    assert len(table()) == ROWS
    assert repr(table()) == "<ArrowTable of 11 rows: n, there, address>"


def test_each_way_of_the_protocol() -> None:
    ways: list[Callable[[Any], Any]] = [
        pyarrow.table,
        pyarrow.record_batch,
        lambda made: pyarrow.RecordBatchReader.from_stream(made).read_all(),
    ]
    for way in ways:
        assert way(table()).to_pydict()["n"] == list(range(ROWS))
    assert pyarrow.schema(table()).names == ["n", "there", "address"]


def test_it_can_be_exported_again_and_outlives_its_source() -> None:
    made = table()
    first, second = pyarrow.table(made), pyarrow.table(made)
    del made
    gc.collect()
    assert first.equals(second)


def test_capsules_that_nobody_takes_are_freed() -> None:
    """Run under a sanitizer this would show a leak; here that it does no harm."""
    for _ in range(100):
        made = table()
        made.__arrow_c_schema__()
        made.__arrow_c_array__()
        made.__arrow_c_stream__()


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    "export",
    [
        pyarrow.table,
        pyarrow.record_batch,
        lambda made: made.__arrow_c_array__(),
        lambda made: made.__arrow_c_stream__(),
    ],
    ids=["stream", "array", "array left alone", "stream left alone"],
)
def test_exporting_a_thousand_times_leaves_nothing(export: Callable[[ArrowTable], Any]) -> None:
    rows = 1000
    made = ArrowTable({"n": Nullable(np.arange(rows), np.arange(rows) % 2 == 0), "at": np.zeros((rows, 16), np.uint8)})
    for _ in range(200):
        export(made)
    before = resident()
    for _ in range(1000):
        export(made)
    assert resident() - before < 4 << 20


def stream_of(tables: Callable[[], Iterator[ArrowTable]]) -> ArrowStream:
    return ArrowStream(table(), tables)


def test_a_stream_asks_for_one_table_after_the_other() -> None:
    made = 0

    def tables() -> Iterator[ArrowTable]:
        nonlocal made
        for _ in range(3):
            made += 1
            yield table()

    reader = pyarrow.RecordBatchReader.from_stream(stream_of(tables))
    assert made == 0
    assert reader.schema.names == ["n", "there", "address"]
    for wanted in (1, 2, 3):
        assert reader.read_next_batch().num_rows == ROWS
        assert made == wanted
    with pytest.raises(StopIteration):
        reader.read_next_batch()
    assert pyarrow.table(stream_of(tables)).num_rows == 3 * ROWS


def test_a_stream_that_is_given_up_closes_its_source() -> None:
    closed = []

    def tables() -> Iterator[ArrowTable]:
        try:
            while True:
                yield table()
        finally:
            closed.append(True)

    reader = pyarrow.RecordBatchReader.from_stream(stream_of(tables))
    reader.read_next_batch()
    assert not closed
    reader.close()
    del reader
    gc.collect()
    assert closed == [True]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileFormatError("at offset 7: no block"), "at offset 7: no block"),
        (ValueError(), "the source of the stream failed"),
    ],
)
def test_an_error_in_a_stream_reaches_the_receiver(error: Exception, said: str) -> None:
    def tables() -> Iterator[ArrowTable]:
        yield table()
        raise error

    reader = pyarrow.RecordBatchReader.from_stream(stream_of(tables))
    assert reader.read_next_batch().num_rows == ROWS
    with pytest.raises(OSError, match=said):
        reader.read_next_batch()
    with pytest.raises(OSError, match=said):
        pyarrow.table(stream_of(tables))


def test_a_stream_whose_schema_fails() -> None:
    """While an exception is on its way the capsule is freed."""
    broken = ArrowStream(ArrowTable({"x": np.zeros(2, "f2")}), lambda: iter(()))
    with pytest.raises(Exception, match="column `x` cannot be exported"):
        pyarrow.RecordBatchReader.from_stream(broken)


def test_streams_are_read_in_other_threads() -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    connection = duckdb.connect()
    connection.register("packets", stream_of(lambda: (table() for _ in range(50))))
    for _ in range(2):
        assert connection.sql("select sum(n), count(there) from packets").fetchall() == [(50 * 55, 50 * PRESENT.sum())]


def test_polars_takes_it() -> None:
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    assert polars.DataFrame(table())["there"].null_count() == ROWS - PRESENT.sum()
    assert polars.DataFrame(stream_of(lambda: iter((table(), table())))).shape == (2 * ROWS, 3)
