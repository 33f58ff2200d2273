"""Compressed files that are cut or spoiled: every packet that can be decompressed is delivered, then comes an error."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from support import referencereader
from support.capturefiles import pcap_header, pcap_record
from support.otherreaders import SECOND_NS

from pfq.errors import FileFormatError
from pfq.files.capfile import CaptureFile

PACKETS = 40


def small() -> bytes:
    chance = random.Random(2)
    return pcap_header() + b"".join(pcap_record(chance.randbytes(90), second) for second in range(PACKETS))


def large() -> bytes:
    """Some MiB, which no buffer holds at once."""
    chance = random.Random(3)
    return pcap_header() + b"".join(pcap_record(chance.randbytes(1400), second) for second in range(3000))


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}


def read(data: bytes) -> tuple[list[int], str]:
    """The seconds of the packets, and the error."""
    seconds: list[int] = []
    try:
        with CaptureFile(io.BytesIO(data)) as file:
            for records in file.runs():
                seconds += (records.array["ts_ns"] // SECOND_NS).tolist()
    except FileFormatError as error:
        return seconds, str(error)
    return seconds, ""


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("plain", [small(), large()], ids=["small", "large"])
def test_M10_wrong_checksum(codec: str, plain: bytes) -> None:
    packed = CODECS[codec](plain)
    whole = list(range(len(referencereader.read(plain)[0])))
    assert read(packed) == (whole, "")
    seconds, error = read(packed[:-4] + b"abcd")
    assert seconds == whole
    assert f"the {codec} data is damaged" in error


@pytest.mark.parametrize("codec", CODECS)
def test_M10_cut_anywhere(codec: str) -> None:
    packed = CODECS[codec](small())
    most = 0
    for size in range(4, len(packed)):
        seconds, error = read(packed[:size])
        assert error, size
        assert seconds == list(range(len(seconds))), size
        assert len(seconds) >= most, size
        most = len(seconds)
    assert most == PACKETS


def test_M10_cut_gzip_gives_what_zlib_gives() -> None:
    packed = gzip.compress(small(), 1)
    for size in range(18, len(packed)):
        plain = zlib.decompressobj(wbits=31).decompress(packed[:size])
        assert len(read(packed[:size])[0]) == (len(referencereader.read(plain)[0]) if len(plain) > 24 else 0), size


@pytest.mark.parametrize("codec", CODECS)
def test_M10_several_frames(codec: str) -> None:
    plain = small()
    packed = b"".join(CODECS[codec](plain[at : at + 700]) for at in range(0, len(plain), 700))
    assert read(packed) == (list(range(PACKETS)), "")


@pytest.mark.parametrize("codec", CODECS)
def test_M10_spoiled_anywhere(codec: str) -> None:
    """Whatever comes of it, it is packets and then perhaps an error of ours."""
    chance = random.Random(codec)
    packed = CODECS[codec](small())
    for _ in range(300):
        spoiled = bytearray(packed)
        for _ in range(chance.randrange(1, 4)):
            spoiled[chance.randrange(4, len(spoiled))] = chance.randrange(256)
        read(bytes(spoiled))


def test_M10_garbage_behind_gzip() -> None:
    packed = gzip.compress(small())
    assert read(packed + bytes(1000)) == (list(range(PACKETS)), "")  # as tar pads
    seconds, error = read(packed + b"garbage")
    assert seconds == list(range(PACKETS))
    assert "damaged" in error
