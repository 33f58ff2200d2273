from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rings import FakeRings, frame_of

from pfq.errors import FileAccessError, OutputError, UsageError, ViewExpiredError
from pfq.files import Frame, read_frames
from pfq.ring import Batch, PcapngWriter, Reader, RingStatistics

NOON_NS = 1_700_000_000_123_456_789


@pytest.fixture
def batch(rings: FakeRings, reader: Reader) -> Batch:
    """Frames of 0, 1, 2, 3, 60 and 200 bytes, the last cut at 96."""
    for i, size in enumerate((0, 1, 2, 3, 60, 200)):
        rings.publish(bytes([0x80 + i]) * size, ts_ns=NOON_NS + i)
    read = reader.read()
    assert read is not None
    return read


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Type and body of each block, all of which are whole."""
    data = path.read_bytes()
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        yield kind, data[8 : size - 4]
        data = data[size:]


def options(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        found[code] = data[4 : 4 + size]
        data = data[4 + (size + 3) // 4 * 4 :]
    return found


def test_packets_come_back_as_they_were(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), "veth0", snaplen=96) as writer:
        writer.write(batch)
        assert writer.packets == 6
    want = [bytes([0x80 + i]) * size for i, size in enumerate((0, 1, 2, 3, 60, 96))]
    lengths = (0, 1, 2, 3, 60, 200)
    assert list(read_frames(path)) == [
        Frame(NOON_NS + i, length, data, 1, 0) for i, (length, data) in enumerate(zip(lengths, want, strict=True))
    ]


def test_padding_is_zero(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), "veth0", snaplen=96) as writer:
        writer.write(batch)
    bodies = [body[20:] for kind, body in blocks(path) if kind == 6]
    assert bodies[:4] == [b"", b"\x81\0\0\0", b"\x82\x82\0\0", b"\x83\x83\x83\0"]


def test_interface_and_counters_are_in_the_file(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path), "veth0", snaplen=96)
    writer.write(batch)
    writer.close(RingStatistics(delivered=40, lost=2, read=6, held=0, waiting=34))
    writer.close()
    (section, head), (interface, description), *packets, (statistics, counts) = blocks(path)
    assert (section, interface, statistics) == (0x0A0D0D0A, 1, 5)
    assert [kind for kind, _ in packets] == [6] * 6
    assert options(head[16:])[4].startswith(b"pfq ")
    assert struct.unpack_from("<HHI", description) == (1, 0, 96)
    assert options(description[8:])[2] == b"veth0"
    assert options(description[8:])[9] == b"\x09"
    found = options(counts[12:])
    received, dropped, delivered = (struct.unpack("<Q", found[code])[0] for code in (4, 7, 8))
    assert (received, dropped, delivered) == (42, 2, 6)
    started, ended = (struct.unpack("<II", found[code]) for code in (2, 3))
    assert NOON_NS < started[0] << 32 | started[1] <= ended[0] << 32 | ended[1]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_tcpdump_reads_it(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), "veth0", snaplen=96) as writer:
        writer.write(batch)
    printed = subprocess.run(
        ["tcpdump", "-tt", "--nano", "-nqr", str(path)], capture_output=True, text=True, check=True, errors="replace"
    )
    times = [line.split()[0] for line in printed.stdout.splitlines() if line.startswith("17")]
    assert times == [f"1700000000.12345679{i}" for i in range(5)]  # it prints no line for the empty frame


def test_a_batch_larger_than_the_buffer_is_written_whole(tmp_path: Path) -> None:
    with FakeRings(slots=64, slot_bytes=65600) as rings, rings.reader() as reader:
        for i in range(64):
            rings.publish(frame_of(i, size=65_532))
        batch = reader.read()
        assert batch is not None
        path = tmp_path / "out.pcapng"
        with PcapngWriter(str(path), "veth0", snaplen=65_535) as writer:
            writer.write(batch)
        assert [frame.data for frame in read_frames(path)] == [frame_of(i, size=65_532) for i in range(64)]


def test_released_batches_and_closed_writers_are_refused(tmp_path: Path, batch: Batch) -> None:
    writer = PcapngWriter(str(tmp_path / "out.pcapng"), "veth0", snaplen=96)
    with writer:
        pass
    with pytest.raises(UsageError, match="is closed"):
        writer.write(batch)
    with PcapngWriter(str(tmp_path / "out.pcapng"), "veth0", snaplen=96) as writer:
        batch.release()
        with pytest.raises(ViewExpiredError):
            writer.write(batch)


def test_a_file_that_cannot_be_created(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file or directory") as caught:
        PcapngWriter(str(tmp_path / "none" / "out.pcapng"), "veth0", snaplen=96)
    assert caught.value.hint


def test_R6_full_device(batch: Batch) -> None:
    with pytest.raises(OutputError, match=r"writing /dev/full failed after 0 packets: No space left") as caught:
        PcapngWriter("/dev/full", "veth0", snaplen=96)
    assert "make room" in str(caught.value.hint)


def test_R6_disk_gets_full_in_the_middle(tmp_path: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path), "veth0", snaplen=96)
    writer.write(batch)
    # Room for one block (32), one with a byte (36) and half of the third.
    room = [32 + 36 + 10]
    really = os.write

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        size, room[0] = min(room[0], len(data)), 0
        return really(fd, data[:size])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OutputError, match="failed after 8 packets: No space left"):
        writer.write(batch)
    assert writer.packets == 8
    assert [kind for kind, _ in blocks(path)] == [0x0A0D0D0A, 1, *[6] * 8]
    writer.close()
    assert len(list(read_frames(path))) == 8


def test_the_reader_of_a_pipe_has_gone(batch: Batch) -> None:
    read_end, write_end = os.pipe()
    writer = PcapngWriter(f"/proc/self/fd/{write_end}", "veth0", snaplen=96)
    os.close(read_end)
    with pytest.raises(OutputError, match="Broken pipe") as caught:
        writer.write(batch)
    assert "has ended" in str(caught.value.hint)
    os.close(write_end)


def test_dash_is_standard_output(tmp_path: Path, batch: Batch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with PcapngWriter("-", "veth0", snaplen=96) as writer:
        writer.write(batch)
    path = tmp_path / "out.pcapng"
    path.write_bytes(capfdbinary.readouterr().out)
    assert len(list(read_frames(path))) == 6
