"""Wrong and odd files: everything before the damage is delivered, and the error says where it is."""

from __future__ import annotations

import gzip
import io
import random
import re
from typing import BinaryIO

import pytest
from support import referencereader
from support.brokenfiles import SHAPES
from support.corpora import kept, seeds

from pfq.errors import FileFormatError
from pfq.files import Frame
from pfq.files.capfile import CaptureFile

MUTATED_FILES = 20_000


class Drops(io.BytesIO):
    """A file that gives a byte at a time, as a slow pipe may."""

    def readinto1(self, room: memoryview) -> int:  # type: ignore[override]
        return self.readinto(room[:1])


def read(file: BinaryIO) -> tuple[list[Frame], int | None]:
    """The packets, and where the error says that the damage is."""
    frames: list[Frame] = []
    try:
        with CaptureFile(file) as capture:
            for records in capture.runs():
                for i, row in enumerate(records.array):
                    ts_ns, size = int(row["ts_ns"]), int(row["len"])
                    frames.append(Frame(ts_ns, size, records.bytes(i), int(row["link_type"]), int(row["interface"])))
    except FileFormatError as error:
        return frames, int(re.findall(r": at offset (\d+): ", str(error))[0])
    return frames, None


@pytest.mark.parametrize("name", SHAPES)
def test_M6_M7_shapes(name: str) -> None:
    shape = SHAPES[name]
    frames, offset = read(io.BytesIO(shape.data))
    assert (len(frames), offset) == (shape.packets, shape.offset)
    assert read(Drops(shape.data)) == (frames, offset)
    if shape.data:
        assert read(io.BytesIO(gzip.compress(shape.data, 1))) == (frames, offset)


def test_shapes_are_read_alike_by_the_reference() -> None:
    for name, shape in SHAPES.items():
        frames, offset = referencereader.read(shape.data)
        assert (len(frames), offset) == (shape.packets, shape.offset), name


def test_kept_inputs_are_read_as_by_the_reference() -> None:
    for name, data in kept().items():
        assert read(io.BytesIO(data)) == referencereader.read(data), name


@pytest.mark.slow
def test_M8_changed_files_are_read_as_by_the_reference() -> None:
    """Bytes of real files changed, cut and doubled; the same ones in every run."""
    chance = random.Random(8)
    files = [data for _, data in seeds() if len(data) > 100]
    for number in range(MUTATED_FILES):
        data = mutated(bytearray(chance.choice(files)), chance)
        assert read(io.BytesIO(data)) == referencereader.read(data), (number, data)


def mutated(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) or 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                value = chance.choice((0, 1, 8, 12, 16, 20, 32, 0x0A0D0D0A, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
                data[at & ~3 : (at & ~3) + 4] = value.to_bytes(4, chance.choice(("big", "little")))
            case 2:
                del data[at:]
            case 3:
                del data[at & ~3 : (at & ~3) + 4 * chance.randrange(1, 8)]
            case 4:
                data[at & ~3 : at & ~3] = data[at & ~3 : (at & ~3) + 4 * chance.randrange(1, 20)]
    return bytes(data)
