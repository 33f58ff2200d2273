from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.columns import records
from support.written import blocks, options, pcap_records, small_disk

from pfq.columns.records import Records
from pfq.errors import FileAccessError, OutputError, UsageError
from pfq.files import read_frames
from pfq.files.capfile import CaptureFile
from pfq.files.interface import Interface
from pfq.files.writing import PcapngWriter, Rotation, live_interface, open_writer
from pfq.ring import Batch, RingStatistics

CAPTURES = Path(__file__).parents[3] / "captures"
EXAMPLE = CAPTURES / "pcapplusplus-example.pcap"
ETHERNET = [Interface(number=0, link_type=1, snaplen=0)]
SECOND_NS = 10**9
NOON = 1_700_000_000 - 1_700_000_000 % 60
STATISTICS = 5


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(*seconds: float) -> Records:
    """Packets so many seconds after noon, each with its number as data."""
    run = records([bytes([i]) * 10 for i in range(len(seconds))])
    run.array["ts_ns"] = np.array([int((NOON + second) * SECOND_NS) for second in seconds], np.uint64)
    return run


def written(folder: Path) -> dict[str, list[int]]:
    """The numbers of the packets of each file."""
    return {path.name: [frame.data[0] for frame in read_frames(path)] for path in sorted(folder.iterdir())}


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize("step", [333, 100_000])
@pytest.mark.parametrize(
    ("options", "rotation"),
    [
        ("-C 1", Rotation(10**6)),
        ("-C 3", Rotation(3 * 10**6)),
        ("-C 1 -W 1", Rotation(10**6, count=1)),
        ("-C 1 -W 2", Rotation(10**6, count=2)),
        ("-C 1 -W 3", Rotation(10**6, count=3)),
        ("-C 1 -W 10", Rotation(10**6, count=10)),
        ("-C 1 -W 11", Rotation(10**6, count=11)),
        ("-C 1 -G 3600", Rotation(10**6, 3600)),
        ("-C 1 -G 3600 -W 2", Rotation(10**6, 3600, 2)),
        ("-G 3600", Rotation(seconds=3600)),
    ],
)
def test_files_are_those_of_tcpdump(tmp_path: Path, options: str, rotation: Rotation, step: int) -> None:
    """Names and bytes; tcpdump goes by the clock, which stands still for an hour here."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    subprocess.run(
        ["tcpdump", "-Z", "root", "-r", str(EXAMPLE), "-w", str(theirs / "x"), *options.split()],
        check=True,
        capture_output=True,
    )
    with (
        CaptureFile(EXAMPLE) as file,
        open_writer(str(ours / "x"), file.interfaces, pcap=True, rotation=rotation) as writer,
    ):
        for run in file.runs():
            for first in range(0, len(run), step):
                writer.write_records(Records(run.array[first : first + step], run))
    want = {path.name: path.read_bytes() for path in theirs.iterdir()}
    assert {path.name: path.read_bytes() for path in ours.iterdir()} == want
    assert writer.packets == 4631


def test_time_is_that_of_the_packets(tmp_path: Path) -> None:
    rotation = Rotation(seconds=10)
    with open_writer(f"{tmp_path}/%H%M%S.pcapng", ETHERNET, rotation=rotation) as writer:
        assert list(tmp_path.iterdir()) == []
        writer.write_records(at(0.5, 9.999, 10, 10.25, 35.5, 45))
        assert writer.packets == 6
    names = [time.strftime("%H%M%S.pcapng", time.gmtime(NOON + second)) for second in (0, 10, 35, 45)]
    assert written(tmp_path) == dict(zip(names, ([0, 1], [2, 3], [4], [5]), strict=True))


def test_time_does_not_go_back(tmp_path: Path) -> None:
    with open_writer(f"{tmp_path}/%s", ETHERNET, rotation=Rotation(seconds=10)) as writer:
        writer.write_records(at(0, 12, 3, 21, 22))
    assert written(tmp_path) == {str(NOON): [0], str(NOON + 12): [1, 2, 3], str(NOON + 22): [4]}


def test_count_ends_a_rotation_by_time(tmp_path: Path) -> None:
    with open_writer(f"{tmp_path}/%s", ETHERNET, rotation=Rotation(seconds=10, count=2)) as writer:
        writer.write_records(at(0, 11))
        assert not writer.full
        writer.write_records(at(12, 21, 22, 35))
        assert writer.full
        writer.write_records(at(36))
        assert writer.packets == 3
    assert written(tmp_path) == {str(NOON): [0], str(NOON + 11): [1, 0]}


def test_numbers_begin_again_with_each_period(tmp_path: Path) -> None:
    """Files of at most two packets; size is looked at before a packet is written."""
    rotation = Rotation(size=24 + 26 + 1, seconds=10)
    with open_writer(f"{tmp_path}/%s.", ETHERNET, pcap=True, rotation=rotation) as writer:
        writer.write_records(at(0, 1, 2, 3, 4, 11, 12, 13))
    assert written(tmp_path) == {
        f"{NOON}.": [0, 1], f"{NOON}.1": [2, 3], f"{NOON}.2": [4], f"{NOON + 11}.": [5, 6], f"{NOON + 11}.1": [7],
    }  # fmt: skip


def test_numbers_come_round_without_a_new_period(tmp_path: Path) -> None:
    rotation = Rotation(size=24, seconds=10, count=2)
    with open_writer(f"{tmp_path}/%s.", ETHERNET, pcap=True, rotation=rotation) as writer:
        writer.write_records(at(0, 1, 5, 9, 10))
    assert written(tmp_path) == {f"{NOON}.0": [2], f"{NOON}.1": [3], f"{NOON + 10}.0": [4]}


@pytest.mark.parametrize("pcap", [False, True])
def test_the_smallest_size_has_one_packet_for_each_file(tmp_path: Path, pcap: bool) -> None:
    with open_writer(f"{tmp_path}/x", ETHERNET, pcap=pcap, rotation=Rotation(size=1, count=100)) as writer:
        writer.write_records(at(*range(12)))
    assert written(tmp_path) == {f"x{i:02}": [i] for i in range(12)}


def test_every_file_is_complete(tmp_path: Path, batch: Batch) -> None:
    """Header, interface and the counts of its own time: together they are those of the capture."""
    counted = iter([RingStatistics(delivered=10, lost=1, read=0, held=0, waiting=0)])
    writer = open_writer(
        f"{tmp_path}/x", [live_interface("veth0", 96)], rotation=Rotation(size=300), losses=lambda: next(counted)
    )
    writer.write(batch)
    writer.close(RingStatistics(delivered=14, lost=4, read=0, held=0, waiting=0))
    writer.close()
    found = [list(blocks(tmp_path / name)) for name in ("x", "x1")]
    assert [sum(kind == 6 for kind, _ in file) for file in found] == [5, 1]
    told = []
    for file in found:
        assert [kind for kind, _ in file[:2]] == [0x0A0D0D0A, 1]
        assert options(file[1][1][8:])[2] == b"veth0"
        (statistics,) = (body for kind, body in file if kind == STATISTICS)
        told.append([int.from_bytes(options(statistics[12:])[code], "little") for code in (4, 7, 8)])
    assert told == [[11, 1, 5], [7, 3, 1]]


def test_live_files_begin_at_once_and_go_by_the_clock_without_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: now[0] * SECOND_NS)
    now = [NOON]
    nothing = RingStatistics(0, 0, 0, 0, 0)
    writer = open_writer(f"{tmp_path}/%s", ETHERNET, rotation=Rotation(seconds=10), losses=lambda: nothing)
    assert [path.name for path in tmp_path.iterdir()] == [str(NOON)]
    for i, now[0] in enumerate((NOON + 9, NOON + 10, NOON + 19)):
        timeless = records([bytes([i])])
        timeless.array["ts_ns"] = 0
        writer.write_records(timeless)
    writer.close()
    assert written(tmp_path) == {str(NOON): [0], str(NOON + 10): [1, 2]}


def test_packets_without_a_time_in_a_file_are_of_1970(tmp_path: Path) -> None:
    run = records([b"\x07"])
    run.array["ts_ns"] = 0
    with open_writer(f"{tmp_path}/%Y", ETHERNET, rotation=Rotation(seconds=10)) as writer:
        writer.write_records(run)
    assert written(tmp_path) == {"1970": [7]}


def test_without_packets_there_is_one_file(tmp_path: Path) -> None:
    open_writer(f"{tmp_path}/x", ETHERNET, rotation=Rotation(seconds=10, size=100)).close()
    assert written(tmp_path) == {"x": []}


def test_another_source(tmp_path: Path) -> None:
    raw = Interface(number=0, link_type=101, snaplen=0)
    with open_writer(f"{tmp_path}/x", ETHERNET, rotation=Rotation(size=1)) as writer:
        writer.write_records(at(0))
        writer.source([raw])
        writer.write_records(records([b"\x07"] * 2, link_type=101))
    assert [[frame.link_type for frame in read_frames(path)] for path in sorted(tmp_path.iterdir())] == [
        [1],
        [101],
        [101],
    ]


def test_standard_output_is_one_file() -> None:
    with pytest.raises(UsageError, match="standard output"):
        open_writer("-", ETHERNET, rotation=Rotation(size=1))


def test_R6_nothing_before_a_full_disk_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(f"{tmp_path}/x", ETHERNET, pcap=True, rotation=Rotation(size=24 + 52))
    small_disk(monkeypatch, 24 + 3 * 26 + 24 + 26 + 20)
    with pytest.raises(OutputError, match=r"x1 failed after 1 packets: No space left"):
        writer.write_records(at(*range(10)))
    assert writer.packets == 4
    writer.close()
    assert [len(pcap_records(tmp_path / name)) for name in ("x", "x1")] == [3, 1]


def test_R6_a_file_that_cannot_be_created_ends_it(tmp_path: Path) -> None:
    (tmp_path / "x1").mkdir()
    writer = open_writer(f"{tmp_path}/x", ETHERNET, rotation=Rotation(size=1))
    with writer, pytest.raises(FileAccessError, match="cannot create"):
        writer.write_records(at(0, 1))
    assert writer.packets == 1
    assert [frame.data[0] for frame in read_frames(tmp_path / "x")] == [0]


def test_without_rotation_it_is_a_plain_writer(tmp_path: Path) -> None:
    with open_writer(f"{tmp_path}/%s", ETHERNET, comment="c") as writer:
        assert isinstance(writer, PcapngWriter)
    assert [path.name for path in tmp_path.iterdir()] == ["%s"]
