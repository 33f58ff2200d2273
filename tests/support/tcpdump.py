"""The tcpdump of this machine, as the judge of lines."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

Case = tuple[bytes, int]


@cache
def missing() -> str | None:
    """Why there is no judge, or None. Lines are compared with those of 4.99."""
    path = shutil.which("tcpdump")
    if path is None:
        return "tcpdump is not installed"
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    first = (shown.stdout + shown.stderr).splitlines()[0]
    return None if re.match(r"tcpdump version 4\.99\.[3-9]", first) else f"this is another tcpdump: {first}"


def lines(frames: Sequence[Case], flags: str, folder: Path) -> list[str]:
    """What tcpdump prints for each frame, without the time."""
    path = folder / "frames.pcap"
    path.write_bytes(_file(frames))
    command = ["tcpdump", "-r", str(path), "-tt", f"-n{flags}"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode("ascii", "replace")
    found = re.split(r"^\d+\.000000 ", printed, flags=re.MULTILINE)[1:]
    assert len(found) == len(frames)
    return [text.rstrip("\n") for text in found]


def accepted(frames: Sequence[Case], expression: str) -> set[int]:
    """The numbers of the frames that a filter expression accepts."""
    command = ["tcpdump", "-r", "-", "-tt", "-n", "-q", expression]
    printed = subprocess.run(command, input=_file(frames), capture_output=True, check=True).stdout
    return {int(number) for number in re.findall(rb"^(\d+)\.000000 ", printed, flags=re.MULTILINE)}


def _file(frames: Sequence[Case]) -> bytes:
    """A capture file in which the time of a frame is its number, in seconds."""
    records = b"".join(struct.pack("<IIII", i, 0, len(data), size) + data for i, (data, size) in enumerate(frames))
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1) + records
