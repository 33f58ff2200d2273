"""What happens when the file cannot be written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.columns import records
from support.written import PCAP_HEADER, blocks, pcap_records, small_disk

from pfq.errors import FileAccessError, OutputError
from pfq.files import read_frames
from pfq.files.interface import Interface
from pfq.files.writing import PacketWriter, PcapngWriter, PcapWriter, live_interface
from pfq.ring import Batch

DEVICE = [live_interface("veth0", snaplen=96)]


@pytest.mark.parametrize("name", ["none/out.pcapng", "", "nul\0"])
def test_a_file_that_cannot_be_created(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileAccessError, match="cannot create") as caught:
        PcapngWriter(f"{tmp_path}/{name}", DEVICE)
    assert caught.value.hint


@pytest.mark.parametrize("make", [PcapngWriter, PcapWriter])
def test_R6_full_device(make: type[PcapngWriter | PcapWriter], batch: Batch) -> None:
    with pytest.raises(OutputError, match=r"writing /dev/full failed after 0 packets: No space left") as caught:
        make("/dev/full", DEVICE).write(batch)
    assert "make room" in str(caught.value.hint)


def test_R6_disk_gets_full_in_the_middle(tmp_path: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path), DEVICE)
    writer.write(batch)
    small_disk(monkeypatch, 32 + 36 + 10)  # a block, one with a byte, and a part of the third
    with pytest.raises(OutputError, match="failed after 8 packets: No space left"):
        writer.write(batch)
    assert writer.packets == 8
    assert [kind for kind, _ in blocks(path)] == [0x0A0D0D0A, 1, *[6] * 8]
    writer.close()
    assert len(list(read_frames(path))) == 8


@pytest.mark.parametrize("room", range(16 + 17 + 18 + 1))
def test_R6_disk_gets_full_at_any_byte_of_pcap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    path = tmp_path / "out.pcap"
    writer = PcapWriter(str(path), [Interface(number=0, link_type=1, snaplen=0)])
    small_disk(monkeypatch, PCAP_HEADER + room)
    whole = (room >= 16) + (room >= 33) + (room >= 51)
    with pytest.raises(OutputError, match=f"failed after {whole} packets"):
        writer.write_records(records([b"", b"1", b"22", b"333"]))
    assert writer.packets == whole
    assert [data for *_, data in pcap_records(path)] == [b"", b"1", b"22"][:whole]


def test_R6_a_head_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.pcap"
    small_disk(monkeypatch, PCAP_HEADER - 1)
    with pytest.raises(OutputError):
        PcapWriter(str(path), DEVICE).close()
    assert path.stat().st_size == 0


def write_forever(writer: PcapngWriter) -> None:
    while True:
        writer.write_records(records([bytes(1000)] * 10))


def test_R6_small_file_system(tmp_path: Path) -> None:
    """What a file system of its own has room for is in the file, whole."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mounted)], capture_output=True)
    if mount.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        path = mounted / "out.pcapng"
        writer = PcapngWriter(str(path), DEVICE)
        with pytest.raises(OutputError, match="No space left") as caught:
            write_forever(writer)
        assert "make room" in str(caught.value.hint)
        assert writer.packets == len(list(read_frames(path))) > 50
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_the_reader_of_a_pipe_has_gone(batch: Batch) -> None:
    read_end, write_end = os.pipe()
    writer = PcapngWriter(f"/proc/self/fd/{write_end}", DEVICE)
    os.close(read_end)
    with pytest.raises(OutputError, match="Broken pipe") as caught:
        writer.write(batch)
    assert "has ended" in str(caught.value.hint)
    os.close(write_end)


@pytest.mark.parametrize("make", [PcapngWriter, PcapWriter])
def test_dash_is_standard_output(
    tmp_path: Path, batch: Batch, capfdbinary: pytest.CaptureFixture[bytes], make: type[PcapngWriter | PcapWriter]
) -> None:
    writer: PacketWriter
    with make("-", DEVICE) as writer:
        writer.write(batch)
    path = tmp_path / "out"
    path.write_bytes(capfdbinary.readouterr().out)
    assert len(list(read_frames(path))) == 6
