from __future__ import annotations

import gzip
import io
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import lz4.frame
import numpy as np
import pytest
import zstandard
from support.capturefiles import pcap_header, pcap_record

from pfq.errors import FileFormatError
from pfq.files import CaptureFile

MIB = 1 << 20
GENERATOR = np.random.default_rng(1)
PACKETS = [GENERATOR.integers(0, 16, size, np.uint8).tobytes() for size in GENERATOR.integers(20, 1500, 3000)]
DATA = pcap_header() + b"".join(map(pcap_record, PACKETS))
"""Over two MiB that become half of that, so that a frame has many blocks."""


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def _lz4(data: bytes) -> bytes:
    return lz4.frame.compress(data, content_checksum=True, block_size=lz4.frame.BLOCKSIZE_MAX64KB)


FORMATS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": _zstd, "lz4": _lz4}
LONGEST_BLOCK = 1 << 17

each_format = pytest.mark.parametrize("name", FORMATS)


def read(data: bytes) -> tuple[list[bytes], str]:
    """The packets, and what the error said, if there was one: of a file, read ahead, and of an object alike."""
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        packets, fault = read_from(file.name)
        assert read_from(io.BytesIO(data)) == (packets, fault.replace(file.name, "the file"))
    return packets, fault.replace(file.name, "the file")


def read_from(source: str | BinaryIO) -> tuple[list[bytes], str]:
    packets: list[bytes] = []
    try:
        with CaptureFile(source) as file:
            for run in file.runs():
                packets += [run.bytes(i) for i in range(len(run))]
    except FileFormatError as error:
        return packets, error.message
    return packets, ""


def packets_in(size: int) -> int:
    """Whole packets in the first `size` bytes of DATA."""
    ends = 24 + np.cumsum([16 + len(packet) for packet in PACKETS])
    return int((ends <= size).sum())


@each_format
def test_compressed_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FORMATS[name](DATA))
    with CaptureFile(path) as file:
        assert [run.bytes(i) for run in file.runs() for i in range(len(run))] == PACKETS
        assert file.position == file.size == path.stat().st_size


@each_format
def test_several_frames(name: str) -> None:
    compress = FORMATS[name]
    assert read(compress(DATA[:2]) + compress(b"") + compress(DATA[2:1_000_000]) + compress(DATA[1_000_000:])) == (
        PACKETS,
        "",
    )


def test_zstd_frames_to_skip_and_gzip_padding() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
    assert read(skipped + _zstd(DATA) + skipped) == (PACKETS, "")
    assert read(skipped + _lz4(DATA) + skipped) == (PACKETS, "")
    assert read(gzip.compress(DATA) + bytes(10_000)) == (PACKETS, "")


def test_zstd_without_size_and_with_repeated_bytes() -> None:
    packets = [bytes(1400)] * 1000
    data = pcap_header() + b"".join(map(pcap_record, packets))
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    assert read(writer.compress(data) + writer.flush()) == (packets, "")
    assert len(_zstd(data)) < len(data) // 100


@each_format
def test_compressed_through_a_pipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(FORMATS[name](DATA)))
    thread.start()
    with CaptureFile(path) as file:
        assert [run.bytes(i) for run in file.runs() for i in range(len(run))] == PACKETS
    thread.join()


@each_format
def test_a_compressed_file_that_ends_too_early(name: str) -> None:
    whole = FORMATS[name](DATA)
    for size in (100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        packets, fault = read(whole[:size])
        assert fault == f"the file: at offset {size}: the file ends in the middle of {name} data"
        assert packets == PACKETS[: len(packets)]
        assert len(packets) >= packets_in(size * len(DATA) // len(whole) - 2 * LONGEST_BLOCK)
    assert len(packets) == len(PACKETS)  # all but the checksum was there


@each_format
def test_a_wrong_checksum(name: str) -> None:
    damaged = bytearray(FORMATS[name](DATA))
    damaged[-5 if name == "gzip" else -1] ^= 0xFF
    packets, fault = read(bytes(damaged))
    assert packets == PACKETS
    assert f"behind offset {len(damaged) - (5 if name == 'gzip' else 4)}: the {name} data is damaged: " in fault


@each_format
def test_a_small_file_with_a_wrong_checksum(name: str) -> None:
    damaged = bytearray(FORMATS[name](DATA[:2000]))
    damaged[-5 if name == "gzip" else -1] ^= 0xFF
    packets, fault = read(bytes(damaged))
    assert len(packets) == packets_in(2000) > 0
    assert "damaged" in fault


BROKEN = {"gzip": b"\xff" * 64, "zstd": b"\xff" * (LONGEST_BLOCK + 64), "lz4": b"\xff" * (LONGEST_BLOCK + 64)}
"""So many bytes that the header of a block is among them, and no block is like that."""


@each_format
def test_what_is_before_the_damage_is_given(name: str) -> None:
    whole = FORMATS[name](DATA)
    middle = len(whole) // 2
    packets, fault = read(whole[:middle] + BROKEN[name] + whole[middle + len(BROKEN[name]) :])
    sound = packets_in(len(DATA) // 2 - 2 * LONGEST_BLOCK)
    assert len(packets) >= sound > 500
    assert packets[:sound] == PACKETS[:sound]
    assert f"the {name} data is damaged: " in fault


@each_format
def test_rubbish_behind_the_last_frame(name: str) -> None:
    packets, fault = read(FORMATS[name](DATA) + b"and so on" * 3)
    assert packets == PACKETS
    assert f"the {name} data is damaged: " in fault


@each_format
def test_a_compressed_text_is_no_capture(name: str) -> None:
    with pytest.raises(FileFormatError, match="neither pcap nor pcapng"):
        CaptureFile(io.BytesIO(FORMATS[name](b"Hello, world")))


def test_zstd_that_needs_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packets, fault = read(writer.compress(DATA) + writer.flush())
    assert packets == []
    assert "needs over 128 MiB of memory" in fault


@each_format
def test_a_bomb_takes_no_memory(name: str) -> None:
    """64 MiB of packets without a byte."""
    bomb = FORMATS[name](pcap_header() + bytes(64 * MIB))
    assert len(bomb) < 2 * MIB
    tracemalloc.start()
    try:
        with CaptureFile(io.BytesIO(bomb)) as file:
            assert sum(map(len, file.runs())) == 64 * MIB // 16
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()
