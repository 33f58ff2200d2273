"""SQL over capture files."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from support.documents import ROOT

import pfq
from pfq.errors import FileAccessError, MachineError, UsageError

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")

EXAMPLE = ROOT / "tests/captures/pcapplusplus-example.pcap"


def test_bytes_by_address() -> None:
    wanted: Counter[str] = Counter()
    for batch in pfq.read(EXAMPLE):
        ip = batch.ip_version != 0
        for source, size in zip(pfq.addresses(batch.src[ip]), batch.len[ip].tolist(), strict=True):
            wanted[source] += size
    found = pfq.sql("select src, sum(len) from packets where src is not null group by 1", EXAMPLE)
    assert dict(found.fetchall()) == wanted


def test_a_relation_can_be_read_again_and_built_upon() -> None:
    relation = pfq.sql("select proto, len from packets", str(EXAMPLE))
    (count,) = relation.aggregate("count(*)").fetchall()[0]
    assert count == len(relation.fetchall()) == sum(map(len, pfq.read(EXAMPLE)))


def test_several_files() -> None:
    ((one,),) = pfq.sql("select count(*) from packets", EXAMPLE).fetchall()
    assert pfq.sql("select count(*) from packets", [EXAMPLE, EXAMPLE]).fetchall() == [(2 * one,)]


def test_times_come_with_their_zone() -> None:
    ((first, last),) = pfq.sql("select min(ts), max(ts) from packets", EXAMPLE).fetchall()
    stamps = [int(stamp) for batch in pfq.read(EXAMPLE) for stamp in batch.ts_ns]
    assert [round(time.timestamp() * 10**6) for time in (first, last)] == [min(stamps) // 1000, max(stamps) // 1000]


def test_columns_that_are_asked_for() -> None:
    ((data,),) = pfq.sql("select data from packets limit 1", EXAMPLE, columns=["data"]).fetchall()
    assert data == next(iter(pfq.read(EXAMPLE))).bytes(0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("selec 1", "syntax error at or near"),
        ("select nope from packets", '"nope" not found'),
        ("select 1 from others", "others"),
    ],
)
def test_a_wrong_query(query: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        pfq.sql(query, EXAMPLE)
    assert "`packets` has ts, len, caplen" in str(caught.value.hint)


def test_a_query_without_a_table() -> None:
    with pytest.raises(UsageError, match="the query gives no table"):
        pfq.sql("", EXAMPLE)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"missing\.pcap"):
        pfq.sql("select 1 from packets", tmp_path / "missing.pcap")


def test_a_damaged_file(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(EXAMPLE.read_bytes()[:-1])
    with pytest.raises(duckdb.Error, match="PFQ202"):
        pfq.sql("select count(*) from packets", cut).fetchall()


def test_without_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MachineError, match="needs the Python package `duckdb`") as caught:
        pfq.sql("select 1 from packets", EXAMPLE)
    assert caught.value.hint == 'pip install "pfq[sql]"'
