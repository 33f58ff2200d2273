"""Capture files as batches of columns."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.columns import expected, records
from support.documents import ROOT
from support.frames import ethernet_captures, ethernet_frames

import pfq
from pfq.errors import FileAccessError, FileFormatError, UsageError
from pfq.files import read_frames
from pfq.files.batch import FileBatch, FileReader, GivenColumn

CAPTURES = ROOT / "tests/captures"
EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"
COOKED = CAPTURES / "pcapplusplus-sll.pcap"
SEVERAL = CAPTURES / "pcapplusplus-many_interfaces-1.pcapng"
NAMES = ("ts_ns", "len", "caplen", "ifindex", "interface", "link_type", "vlan_tci")
NOUGHT = ("mark", "state", "queue", "group")
FRAMES = [b"abc", b"", b"defgh"]


def test_read_is_the_class_under_the_name_of_a_verb() -> None:
    assert pfq.read is pfq.FileReader is FileReader


@pytest.mark.parametrize("path", [EXAMPLE, COOKED, SEVERAL], ids=lambda path: path.name)
def test_packets_are_those_of_the_file(path: Path) -> None:
    frames = list(read_frames(path))
    assert frames
    position = 0
    for batch in pfq.read(path):
        assert len(batch) > 0
        for i in range(len(batch)):
            frame = frames[position + i]
            assert batch.bytes(i) == frame.data
            assert (batch.ts_ns[i], batch.len[i], batch.link_type[i]) == (frame.ts_ns, frame.len, frame.link_type)
        position += len(batch)
    assert position == len(frames)


def test_interfaces_are_numbered_as_in_the_file() -> None:
    numbers = {int(number) for batch in pfq.read(SEVERAL) for number in np.unique(batch.interface)}
    assert len(numbers) > 1
    for batch in pfq.read(SEVERAL):
        assert batch.ifindex.tolist() == batch.interface.tolist()


def test_decoded_columns_of_whole_files() -> None:
    for path in ethernet_captures()[:6]:
        frames = list(ethernet_frames(path))
        found = [port for batch in pfq.read(path) for port in batch.dst_port.tolist()]
        assert found[: len(frames)] == [expected(frame)["dst_port"] for frame in frames]


def test_several_files_one_after_the_other() -> None:
    def packets(*paths: Path) -> int:
        return sum(map(len, pfq.read(paths)))

    assert packets(EXAMPLE, COOKED, EXAMPLE) == 2 * packets(EXAMPLE) + packets(COOKED)


def test_reading_can_begin_again() -> None:
    reader = pfq.read(str(EXAMPLE))
    assert sum(map(len, reader)) == sum(map(len, reader)) > 0


def test_an_open_file() -> None:
    assert sum(map(len, pfq.read(io.BytesIO(EXAMPLE.read_bytes())))) == sum(map(len, pfq.read(EXAMPLE)))


def test_a_pipe(tmp_path: Path) -> None:
    """It is not touched before it is read, for what was read of it is gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = pfq.read(pipe)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(pipe.write_bytes, EXAMPLE.read_bytes())
        assert sum(map(len, reader)) == sum(map(len, pfq.read(EXAMPLE)))
        written.result()


def test_batches_outlive_the_file() -> None:
    batches = list(pfq.read(EXAMPLE))
    frames = [frame.data for frame in read_frames(EXAMPLE)]
    assert [batch.bytes(i) for batch in batches for i in range(len(batch))] == frames


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"missing\.pcap"):
        pfq.read(tmp_path / "missing.pcap")


def test_a_damaged_file_gives_what_is_before_the_fault(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(EXAMPLE.read_bytes()[:-1])
    seen: list[int] = []
    with pytest.raises(FileFormatError):
        seen.extend(map(len, pfq.read(cut)))
    assert sum(seen) == len(list(read_frames(EXAMPLE))) - 1


@pytest.mark.parametrize("wrong", [5, None, b"x.pcap", [EXAMPLE, 5]], ids=str)
@pytest.mark.parametrize(
    "read", [pfq.read, pfq.flows, lambda paths: pfq.run(None, paths)], ids=["read", "flows", "run"]
)
def test_what_is_no_file(read: Callable[[Any], object], wrong: object) -> None:
    with pytest.raises(UsageError, match="is no file to read"):
        read(wrong)


def test_a_name_that_cannot_be_one() -> None:
    with pytest.raises(FileAccessError, match="cannot open"):
        list(pfq.read("a\0b"))


def test_no_column_and_no_file() -> None:
    with pytest.raises(UsageError, match="without a column"):
        pfq.read(EXAMPLE, columns=[])
    with pytest.raises(UsageError, match="no file to read"):
        pfq.read([])
    assert pfq.read(EXAMPLE, columns="src").columns == ("src",)


def test_an_unknown_column() -> None:
    with pytest.raises(UsageError, match="packets have no column `sorc`"):
        pfq.read(EXAMPLE, columns=["sorc"])


@pytest.fixture
def batch() -> FileBatch:
    return FileBatch(records(FRAMES, interface=2))


def test_columns_of_live_capture(batch: FileBatch) -> None:
    for name in NAMES:
        assert len(getattr(batch, name)) == 3
        assert getattr(FileBatch, name).__doc__
    assert batch.len.tolist() == batch.caplen.tolist() == [3, 0, 5]
    assert batch.ifindex.tolist() == [2, 2, 2]
    for name in NOUGHT:
        assert getattr(batch, name).tolist() == [0, 0, 0]
        assert getattr(FileBatch, name).__doc__
    assert repr(batch) == "<FileBatch of 3 packets>"


def test_bytes_of_one_packet(batch: FileBatch) -> None:
    assert [batch.bytes(i) for i in (0, 1, -1)] == [b"abc", b"", b"defgh"]
    for outside in (3, -4):
        with pytest.raises(IndexError, match=f"packet {outside} of a batch of 3"):
            batch.bytes(outside)


def test_bytes_of_all_packets(batch: FileBatch) -> None:
    assert [row.tobytes() for row in batch.data] == [b"abc\0\0", bytes(5), b"defgh"]
    assert FileBatch(records([])).data.shape == (0, 0)


def test_bytes_of_all_packets_are_limited(batch: FileBatch) -> None:
    batch.records.array["caplen"][1] = 128 << 20
    with pytest.raises(UsageError, match=r"`data` would be 384 MiB: 3 rows of 134,217,728 bytes"):
        _ = batch.data
    assert batch.select(batch.caplen < 100).data.shape == (2, 5)


@pytest.mark.parametrize(
    ("which", "wanted"),
    [(np.array([True, False, True]), [0, 2]), (np.array([2, 0]), [2, 0]), (slice(1, None), [1, 2]), (slice(0, 0), [])],
    ids=["mask", "numbers", "slice", "nothing"],
)
@pytest.mark.parametrize("decoded_before", [False, True])
def test_selecting(which: np.ndarray | slice, wanted: list[int], decoded_before: bool) -> None:
    frames = [frame for _, frame in zip(range(3), ethernet_frames(EXAMPLE), strict=False)]
    batch = FileBatch(records(frames), {"mark": np.array([7, 8, 9], np.uint32)})
    ports = batch.src_port.tolist() if decoded_before else [expected(frame)["src_port"] for frame in frames]
    chosen = batch.select(which)
    del batch
    assert [chosen.bytes(i) for i in range(len(chosen))] == [frames[i] for i in wanted]
    assert chosen.mark.tolist() == [7 + i for i in wanted]
    assert chosen.src_port.tolist() == [ports[i] for i in wanted]
    assert chosen.queue.tolist() == [0] * len(wanted)


def test_columns_of_a_kind_of_its_own() -> None:
    class Decided(FileBatch):
        verdict = GivenColumn(np.uint8, "what was decided")
        TABLE = ("len", "verdict")

    batch = Decided(records(FRAMES), {"verdict": np.array([1, 2, 3], np.uint8)})
    chosen = batch.select(batch.len > 0)
    assert type(chosen) is Decided
    assert chosen.verdict.tolist() == [1, 3]
    assert list(chosen.to_arrow().columns) == ["len", "verdict"]


class TestTables:
    def test_a_whole_file_piece_by_piece(self) -> None:
        pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
        reader = pfq.read([EXAMPLE, EXAMPLE], columns=["src", "len"])
        table = pyarrow.table(reader)
        assert table.num_rows == sum(map(len, reader))
        assert table.schema.names == ["src", "len"]
        assert pyarrow.schema(reader).names == ["src", "len"]
        assert sum(table["len"].to_pylist()) == sum(int(batch.len.sum()) for batch in reader)
        assert table["src"].num_chunks == len(list(reader))

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
        cut = tmp_path / "cut.pcap"
        cut.write_bytes(EXAMPLE.read_bytes()[:-1])
        with pytest.raises(OSError, match="PFQ202"):
            pyarrow.table(pfq.read(cut))

    def test_data_frames(self, tmp_path: Path) -> None:
        polars = pytest.importorskip("polars", reason="Polars is not installed")
        pytest.importorskip("pandas", reason="pandas is not installed")
        reader = pfq.read([EXAMPLE, COOKED])
        frame, other = reader.to_polars(), reader.to_pandas()
        assert frame.shape == other.shape == (sum(map(len, reader)), len(FileBatch.TABLE))
        assert polars.DataFrame(reader).equals(frame)
        assert frame["dst"].null_count() == other["dst"].isna().sum()
        nothing = tmp_path / "nothing.pcap"
        nothing.write_bytes(EXAMPLE.read_bytes()[:24])
        assert len(pfq.read(nothing).to_pandas()) == len(pfq.read(nothing).to_polars()) == 0
