from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from support.capturefiles import pcap_header, pcap_record

from pfq.errors import FileAccessError, FileFormatError
from pfq.files import CaptureFile

PACKETS = [b"one", b"two", b"three"]
DATA = pcap_header() + b"".join(map(pcap_record, PACKETS))
PRINT = "from pfq.files import read_frames; print(*(frame.data.decode() for frame in read_frames('-')))"


def packets(file: CaptureFile) -> Iterator[bytes]:
    for run in file.runs():
        yield from (run.bytes(i) for i in range(len(run)))


def test_M10_a_pipe_gives_packets_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    seen = threading.Semaphore(0)

    def write() -> None:
        with path.open("wb", buffering=0) as end:
            end.write(DATA[:2])
            end.write(DATA[2:24])
            for packet in PACKETS:
                record = pcap_record(packet)
                end.write(record[:5])
                end.write(record[5:])
                assert seen.acquire(timeout=60), "the packet did not arrive while the pipe was open"

    thread = threading.Thread(target=write)
    thread.start()
    with CaptureFile(path) as file:
        assert file.size is None
        found = []
        for packet in packets(file):
            found.append(packet)
            seen.release()
    thread.join()
    assert found == PACKETS


def test_a_pipe_that_does_not_wait() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    write = threading.Timer(0.02, lambda: (os.write(writing, DATA), os.close(writing)))
    write.start()
    with open(reading, "rb", buffering=0) as end, CaptureFile(end) as file:
        assert list(packets(file)) == PACKETS
    write.join()


def test_M10_a_pipe_that_ends_in_a_packet(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(DATA[:-1]))
    thread.start()
    with CaptureFile(path) as file:
        reading = packets(file)
        assert [next(reading), next(reading)] == PACKETS[:2]
        with pytest.raises(FileFormatError, match=r"the file ends in a packet \(4 of 5 bytes\)"):
            next(reading)
    thread.join()


@pytest.mark.parametrize("data", [DATA, gzip.compress(DATA)], ids=["plain", "compressed"])
def test_M10_standard_input(data: bytes, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINT]
    assert subprocess.run(command, input=data, capture_output=True, check=True).stdout == b"one two three\n"
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert subprocess.run(command, stdin=file, capture_output=True, check=True).stdout == b"one two three\n"


def test_M10_standard_input_that_is_closed() -> None:
    ran = subprocess.run(["sh", "-c", '"$0" -c "$1" <&-', sys.executable, PRINT], capture_output=True, text=True)
    assert "cannot open -: Bad file descriptor" in ran.stderr


def test_M10_a_growing_file_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with CaptureFile(path) as file, path.open("ab") as more:
        reading = packets(file)
        assert next(reading) == b"one"
        more.write(pcap_record(b"late"))
        more.flush()
        assert list(reading) in (PACKETS[1:], [*PACKETS[1:], b"late"])


def test_M10_a_file_deleted_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + pcap_record(bytes(1000)) * 5000)
    with CaptureFile(path) as file:
        reading = packets(file)
        next(reading)
        path.unlink()
        assert sum(1 for _ in reading) == 4999


def test_M10_a_file_cut_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + pcap_record(bytes(1000)) * 20_000)
    with CaptureFile(path) as file:
        reading = packets(file)
        next(reading)
        os.truncate(path, 24)
        count = 1
        try:
            count += sum(1 for _ in reading)
        except FileFormatError as error:
            assert "the file ends in" in error.message  # noqa: PT017 - the cut may be between two packets
    assert count < 20_000


def test_file_objects(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"prefix" + DATA)
    with path.open("rb") as opened:
        opened.read(6)
        with CaptureFile(opened) as file:
            assert (list(packets(file)), file.path) == (PACKETS, str(path))
        assert not opened.closed

    class Slow:
        """Has `read` only, and little to give."""

        def __init__(self) -> None:
            self._file = io.BytesIO(DATA)

        def read(self, most: int) -> bytes:
            return self._file.read(min(most, 7))

    with CaptureFile(Slow()) as file:  # type: ignore[arg-type]
        assert (list(packets(file)), file.path, file.size) == (PACKETS, "the file", None)


def test_names_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"cannot open .*none: No such file") as caught:
        CaptureFile(tmp_path / "none")
    assert caught.value.hint
    with pytest.raises(FileAccessError, match="Is a directory"):
        CaptureFile(tmp_path)
    with pytest.raises(FileAccessError, match="null"):
        CaptureFile("a\0b")


def test_a_file_that_is_open_for_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open() as opened, pytest.raises(FileAccessError, match="file is open for text"):
        CaptureFile(opened)  # type: ignore[arg-type]


def test_a_file_without_the_right_to_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    path.chmod(0)
    as_user = nobody() if os.geteuid() == 0 else nullcontext()
    with as_user, pytest.raises(FileAccessError, match="Permission denied"):
        CaptureFile(path)


@contextmanager
def nobody() -> Iterator[None]:
    """This process for a while as a user without rights."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class Failing(io.RawIOBase):
    """Gives what it has, then an input error."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(room)
        if count == 0:
            raise OSError(5, "Input/output error")
        return count


def test_M10_an_input_error_behind_packets() -> None:
    with CaptureFile(Failing(DATA)) as file:  # type: ignore[arg-type]
        reading = packets(file)
        assert [next(reading) for _ in PACKETS] == PACKETS
        with pytest.raises(FileAccessError, match="cannot read the file: Input/output error"):
            next(reading)
