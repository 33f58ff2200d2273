"""Flows as columns and tables."""

from __future__ import annotations

import pytest
from support.flows import rows
from support.frames import CAPTURES

import pfq
from pfq.columns.addresses import addresses
from pfq.flow.batch import FLOW_DTYPE, TABLE, FlowBatch

EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"


@pytest.fixture(scope="module")
def batch() -> FlowBatch:
    return pfq.flows(EXAMPLE).all()


def test_columns_are_views_with_an_element_for_each_flow(batch: FlowBatch) -> None:
    assert FLOW_DTYPE.itemsize == 96
    for name in FLOW_DTYPE.names or ():
        column = getattr(batch, name)
        assert len(column) == len(batch) == 136
        assert column.base is not None
        assert getattr(FlowBatch, name).__doc__
    assert repr(batch) == "<FlowBatch of 136 flows>"


def test_the_table_has_the_same_values(batch: FlowBatch) -> None:
    table = pytest.importorskip("pyarrow", reason="pyarrow is not installed").table(batch)
    assert tuple(table.column_names) == TABLE
    assert table["src"].to_pylist() == addresses(batch.src)
    assert table["end_reason"].to_pylist() == batch.end_words
    assert [stamp.value for stamp in table["first"]] == batch.first_ns.tolist()
    for name in ("packets", "bytes_back", "dst_port", "tcp_flags", "interface"):
        assert table[name].to_pylist() == getattr(batch, name).tolist()


def test_all_flows_of_a_file_are_a_table(batch: FlowBatch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pyarrow.table(pfq.flows(EXAMPLE, idle_timeout=0.5))
    assert len(table) == 173
    assert table.schema == pyarrow.table(batch).schema
    assert sum(table["packets"].to_pylist() + table["packets_back"].to_pylist()) == 4631


def test_polars(batch: FlowBatch) -> None:
    pytest.importorskip("polars", reason="polars is not installed")
    frame = batch.to_polars()
    assert frame["packets_back"].to_list() == batch.packets_back.tolist()
    assert frame["dst"].to_list() == addresses(batch.dst)


def test_pandas(batch: FlowBatch) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = batch.to_pandas()
    assert frame["bytes"].tolist() == batch.bytes.tolist()
    assert frame["end_reason"].tolist() == batch.end_words


def test_a_time_that_is_not_known_is_missing(batch: FlowBatch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    array = batch.array[:3].copy()
    array["first_ns"] = (0, 1, 2**63)
    assert pyarrow.table(FlowBatch(array))["first"].is_null().to_pylist() == [True, False, True]


def test_rows_of_the_reference_are_those_of_the_batch(batch: FlowBatch) -> None:
    (found,) = [row for row in rows(batch) if row[9] == 175 and row[10] == 357]
    assert found[1] == 44150
    assert found[3] == 80
