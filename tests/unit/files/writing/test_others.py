"""What is written is read by other programs, without a word of complaint."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.columns import records
from support.otherreaders import missing
from support.written import PCAP_HEADER

from pfq.files.capfile import CaptureFile
from pfq.files.frame import Frame
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.reading import read_frames
from pfq.files.writing import PcapngWriter, PcapWriter, Rotation, live_interface, open_writer
from pfq.ring import Batch, RingStatistics

CAPTURES = sorted(path for path in (Path(__file__).parents[3] / "captures").iterdir() if "pcap" in path.suffix)
CLASSIC = [path for path in CAPTURES if path.suffix == ".pcap"]


def needs(program: str) -> Any:
    return pytest.mark.skipif(missing(program) is not None, reason=str(missing(program)))


def copy_of(source: Path, folder: Path, **options: Any) -> Path:
    target = folder / f"copy-{source.name}"
    with (
        CaptureFile(source) as file,
        open_writer(str(target), file.interfaces, comment=file.section.comment, **options) as writer,
    ):
        for run in file.runs():
            writer.write_records(run)
        for number, counted in file.statistics.items():
            writer.count(number, counted)
    return target


def read(*command: str | Path) -> str:
    """What a program prints, when it ends well and has nothing to say on standard error."""
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, errors="replace")
    said = [line for line in ran.stderr.splitlines() if not line.startswith(("reading from", "Running as user"))]
    assert (ran.returncode, said) == (0, [])
    return ran.stdout


def times(path: Path) -> list[str]:
    """Time, lengths and protocols of every packet, as tshark sees them."""
    fields = ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.protocols", "frame.interface_name"]
    printed = read("tshark", "-n", "-r", path, "-Tfields", *(f"-e{field}" for field in fields))
    return printed.replace("\tunknown\n", "\t\n").splitlines()  # pcapng's interfaces have a name always


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_a_copy_has_the_same_packets_and_interfaces(tmp_path: Path, path: Path) -> None:
    copied = copy_of(path, tmp_path)
    assert list(read_frames(copied)) == list(read_frames(path))
    with CaptureFile(path) as before, CaptureFile(copied) as after:
        for file in (before, after):
            list(file.runs())
        assert [(i.name, i.description, i.link_type, i.snaplen, i.comment, i.os) for i in after.interfaces] == [
            (i.name, i.description, i.link_type, i.snaplen, i.comment, i.os) for i in before.interfaces
        ]
        assert after.statistics == before.statistics
        assert after.section.comment == before.section.comment


@needs("tcpdump")
@pytest.mark.parametrize("path", CLASSIC, ids=lambda path: path.name)
def test_classic_pcap_is_that_of_tcpdump_byte_for_byte(tmp_path: Path, path: Path) -> None:
    """But for the link type's field where tcpdump keeps more than a link type, or writes 101 for the old 12."""
    theirs = tmp_path / "theirs"
    with CaptureFile(path) as file:
        precision = "nano" if file.interfaces[0].resolution > 10**6 else "micro"
    subprocess.run(
        ["tcpdump", "-r", str(path), "-w", str(theirs), f"--time-stamp-precision={precision}"],
        check=True,
        capture_output=True,
    )
    ours, want = copy_of(path, tmp_path, pcap=True).read_bytes(), theirs.read_bytes()
    assert ours[:20] == want[:20]
    assert ours[PCAP_HEADER:] == want[PCAP_HEADER:]
    (field,) = struct.unpack_from("<I", path.read_bytes(), 20)
    if field < 1 << 16 and field != 12:
        assert ours == want


@needs("tcpdump")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_tcpdump_reads_a_copy(tmp_path: Path, path: Path) -> None:
    """What it refuses, a pcapng file of several link types, it refuses of anybody."""
    copy = copy_of(path, tmp_path)
    original, ours = (
        subprocess.run(["tcpdump", "-r", str(file), "--count"], capture_output=True, text=True) for file in (path, copy)
    )
    assert (ours.returncode, ours.stdout) == (original.returncode, original.stdout)


@needs("capinfos")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.name)
def test_capinfos_finds_the_same(tmp_path: Path, path: Path) -> None:
    """Link type, packets, bytes, first and last time."""
    columns = ("capinfos", "-TrmEcdaeS")
    found = [read(*columns, file).rsplit(",", 5)[1:] for file in (path, copy_of(path, tmp_path))]
    for row in found:
        row[3:] = [f"{float(second):.6f}" if second != "n/a" else second for second in row[3:]]
    assert found[0] == found[1]


@needs("tshark")
@pytest.mark.parametrize(
    ("name", "pcap"),
    [
        ("pcapplusplus-nanosecs.pcap", False),
        ("pcapplusplus-nanosecs.pcap", True),
        ("pcapplusplus-many_interfaces-1.pcapng", False),
        ("tcpdump-geneve.pcap", True),
    ],
)
def test_tshark_sees_the_same_packets(tmp_path: Path, name: str, pcap: bool) -> None:
    (path,) = (path for path in CAPTURES if path.name == name)
    copied = copy_of(path, tmp_path, pcap=pcap)
    found = [times(file) for file in (path, copied)]
    assert found[0] == found[1]
    assert len(found[0]) > 1
    read("tshark", "-r", copied, "-q", "-z", "io,stat,0")


@needs("tshark")
@needs("tcpdump")
def test_live_packets_are_read_with_their_nanoseconds(tmp_path: Path, batch: Batch) -> None:
    for pcap in (False, True):
        path = tmp_path / f"out{pcap}"
        with open_writer(str(path), [live_interface("veth0", 96)], pcap=pcap) as writer:
            writer.write(batch)
        rows = [line.split("\t") for line in times(path)]
        assert [row[0] for row in rows] == [f"1700000000.{123_456_789 + i}" for i in range(6)]
        assert [(int(row[1]), int(row[2])) for row in rows] == [(n, min(n, 96)) for n in (0, 1, 2, 3, 60, 200)]
        printed = read("tcpdump", "-tt", "--nano", "-nqr", path)
        found = [line.split()[0] for line in printed.splitlines() if line.startswith("17")]
        assert found == [f"1700000000.{123_456_789 + i}" for i in range(1, 6)]  # it prints no line for the empty frame


@needs("capinfos")
def test_counts_and_comments_are_shown_by_capinfos(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path), [live_interface("veth0", 96)], comment="the reason why")
    writer.write(batch)
    writer.close(RingStatistics(delivered=40, lost=2, read=6, held=0, waiting=34))
    shown = read("capinfos", path)
    assert "Capture comment:     the reason why\n" in shown
    assert "Name = veth0\n" in shown
    assert "Number of stat entries = 1\n" in shown


@needs("tshark")
def test_counts_of_losses_are_shown_by_tshark(tmp_path: Path) -> None:
    """When it looks at the file itself, block by block."""
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), [Interface(number=0, link_type=1, name="eth7")]) as writer:
        writer.count(0, InterfaceStatistics(received=10, dropped=3, accepted=9, os_dropped=2, delivered=1))
    shown = read("tshark", "-r", path, "-X", "read_format:MIME Files Format", "-V")
    found = dict(re.findall(r"Option: Number of (?:Packets )?(.+) = (\d+)\n", shown))
    assert found == {
        "Received Packets": "10", "Dropped Packets": "3", "Accepted Packets": "9", "Dropped by OS": "2",
        "Delivered to the User": "1",
    }  # fmt: skip


@needs("capinfos")
@needs("tcpdump")
@pytest.mark.parametrize("pcap", [False, True], ids=["pcapng", "pcap"])
def test_every_file_of_a_row_is_read(tmp_path: Path, pcap: bool) -> None:
    (path,) = (path for path in CAPTURES if path.name == "pcapplusplus-example.pcap")
    (tmp_path / "row").mkdir()
    copied = copy_of(path, tmp_path / "row", pcap=pcap, rotation=Rotation(size=400_000, seconds=5))
    row = sorted(copied.parent.iterdir(), key=lambda file: (len(file.name), file.name))
    counts = [int(read("tcpdump", "-r", file, "--count").split()[0]) for file in row]
    assert len(row) > 1
    assert counts == [int(read("capinfos", "-TrmKc", file).rsplit(",", 1)[1]) for file in row]


@needs("capinfos")
@needs("tcpdump")
@pytest.mark.parametrize("make", [PcapngWriter, PcapWriter])
def test_extreme_files(tmp_path: Path, make: type[PcapngWriter | PcapWriter]) -> None:
    """No packets; and a packet of the largest size and the last second that both formats have."""
    path = tmp_path / "out"
    interface = Interface(number=0, link_type=1, snaplen=0, resolution=10**9)
    make(str(path), [interface]).close()
    assert read("tcpdump", "-r", path, "--count") == "0 packets\n"
    read("capinfos", path)
    run = records([bytes(262_144), b"x"])
    run.array["ts_ns"] = np.array([0, 2**31 * 10**9 - 1], np.uint64)
    with make(str(path), [interface]) as writer:
        writer.write_records(run)
    assert read("tcpdump", "-r", path, "--count") == "2 packets\n"
    read("capinfos", path)
    assert list(read_frames(path)) == [
        Frame(0, 262_144, bytes(262_144), 1, 0), Frame(2**31 * 10**9 - 1, 1, b"x", 1, 0)
    ]  # fmt: skip
