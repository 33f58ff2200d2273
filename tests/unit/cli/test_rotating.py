"""`pfq capture` with the options for what files are written."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support.captures import MakeCapture, Run
from support.written import blocks, options

from pfq.files import read_frames
from pfq.ring import RingStatistics

NOON_NS = 1_700_000_000 * 10**9
FRAMES = [bytes([i]) * 60 for i in range(6)]


def capture(run: Run, *arguments: str) -> tuple[int, str]:
    done = run("capture", "-i", "v1", *arguments)
    return done.exit_code, done.stderr


def written(folder: Path) -> dict[str, list[bytes]]:
    return {path.name: [frame.data for frame in read_frames(path)] for path in sorted(folder.iterdir())}


def test_classic_pcap(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    fake_capture().publish(*FRAMES, ts_ns=NOON_NS + 7)
    assert capture(run, "-c", "6", "--pcap", "-w", f"{tmp_path}/x")[0] == 0
    assert struct.unpack_from("<IHHiIII", (tmp_path / "x").read_bytes()) == (0xA1B23C4D, 2, 4, 0, 0, 2016, 1)
    assert [(frame.ts_ns, frame.data) for frame in read_frames(tmp_path / "x")] == [
        (NOON_NS + 7 + i * 1000, frame) for i, frame in enumerate(FRAMES)
    ]


def test_size(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    fake_capture().publish(*[bytes(600)] * 5)
    status, said = capture(run, "-c", "5", "--pcap", "-C", "1k", "-w", f"{tmp_path}/x")
    assert (status, "5 packets captured\n" in said) == (0, True)
    assert {name: len(frames) for name, frames in written(tmp_path).items()} == {"x": 2, "x1": 2, "x2": 1}


def test_the_last_of_so_many_files_is_followed_by_the_first(
    run: Run, fake_capture: MakeCapture, tmp_path: Path
) -> None:
    fake_capture().publish(*[bytes([i]) * 1100 for i in range(3)])
    capture(run, "-c", "3", "--pcap", "-C", "1K", "-W", "2", "-w", f"{tmp_path}/x")
    assert {name: [frame[0] for frame in frames] for name, frames in written(tmp_path).items()} == {
        "x0": [2],
        "x1": [1],
    }


def test_seconds_and_count_end_the_command(
    run: Run, fake_capture: MakeCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the times of the packets; the counts of losses are those of each file."""
    import time

    monkeypatch.setattr(time, "time_ns", lambda: NOON_NS)
    fake = fake_capture(2)
    for second, frame in zip((0, 1, 11, 12), FRAMES, strict=False):
        fake.publish(frame, ts_ns=NOON_NS + second * 10**9)
    fake.publish(FRAMES[5], ts_ns=NOON_NS + 30 * 10**9)
    done = run("capture", "-i", "v1", "-E", "2", "-G", "10", "-W", "2", "-w", f"{tmp_path}/%S")
    assert done.exit_code == 0
    assert "stopped: -W allows 2 files\n4 packets captured\n" in done.stderr
    assert written(tmp_path) == {"20": FRAMES[:2], "31": FRAMES[2:4]}
    assert fake.stops == 1
    for path, received in ((tmp_path / "20", 5), (tmp_path / "31", 0)):
        (*_, (kind, body)) = blocks(path)
        assert kind == 5
        assert options(body[12:])[4] == struct.pack("<Q", received)


def test_nobody_is_told_of_overwriting_without_reason(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    fake_capture().publish(FRAMES[0])
    assert "warning" in capture(run, "-c", "1", "-G", "10", "-w", f"{tmp_path}/x")[1]
    fake_capture().publish(FRAMES[0])
    assert "warning" not in capture(run, "-c", "1", "-G", "10", "-w", f"{tmp_path}/%H")[1]


def test_R6_full_disk(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    """The second file cannot be written; the first one is whole."""
    fake_capture().publish(*FRAMES)
    (tmp_path / "x1").symlink_to("/dev/full")
    status, said = capture(run, "--pcap", "-C", "1k", "-w", f"{tmp_path}/x", "-c", "6")
    assert status == 0
    fake_capture().publish(*[bytes(1100)] * 3)
    status, said = capture(run, "--pcap", "-C", "1k", "-w", f"{tmp_path}/x", "-c", "6")
    assert status == 2
    assert f"writing {tmp_path}/x1 failed after 0 packets: No space left" in said
    assert "\n1 packet captured\n" in said
    assert [len(frame.data) for frame in read_frames(tmp_path / "x")] == [1100]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pcap"], "--pcap says how files are written"),
        (["-C", "1"], "-C says how files are written"),
        (["-W", "1"], "-W says how files are written"),
        (["-w", "x", "-W", "1"], "-W is a number of files, but there is one only"),
        (["-w", "-", "-C", "1"], "standard output is one file"),
        (["-w", "x", "-C", "0"], "0 is not a size"),
        (["-w", "x", "-C", "-1"], "-1 is not a size"),
        (["-w", "x", "-C", "1t"], "1t is not a size"),
        (["-w", "x", "-C", "1.5"], "1.5 is not a size"),
        (["-w", "x", "-G", "0"], "0 is not in the range x>=1"),
        (["-w", "x", "-C", "1", "-W", "0"], "0 is not in the range x>=1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run,
    fake_capture: MakeCapture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    fake_capture()
    status, told = capture(run, *arguments)
    assert status == 1
    assert said in " ".join(told.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_tcpdump_reads_every_file(run: Run, fake_capture: MakeCapture, tmp_path: Path) -> None:
    fake = fake_capture()
    fake.publish(*[bytes(600)] * 9)
    assert fake.statistics().endpoints[0].delivered == RingStatistics(9, 0, 0, 0, 9).delivered
    capture(run, "-c", "9", "-C", "2k", "-w", f"{tmp_path}/x")
    counts = []
    for path in sorted(tmp_path.iterdir()):
        ran = subprocess.run(["tcpdump", "-r", str(path), "--count"], capture_output=True, text=True, check=True)
        counts.append(int(ran.stdout.split()[0]))
    assert (len(counts), sum(counts)) == (3, 9)
