"""A capture file read and written again."""

from __future__ import annotations

from pathlib import Path

from pfq.errors import FileFormatError
from pfq.files import Frame, read_frames
from pfq.files.capfile import CaptureFile
from pfq.files.writing import open_writer


def frames(path: Path) -> list[Frame]:
    """The packets, up to where the file may be damaged."""
    found = []
    try:
        for frame in read_frames(path):
            found.append(frame)  # noqa: PERF402 - they are wanted although it raises
    except FileFormatError:
        pass
    return found


def rewrite(path: Path, copy: Path, *, pcap: bool = False) -> None:
    """Writes the packets of a file to `copy`, up to where it may be damaged."""
    with CaptureFile(path) as file, open_writer(str(copy), file.interfaces, pcap=pcap) as writer:
        try:
            for records in file.runs():
                writer.write_records(records)
        except FileFormatError:
            pass


def content(packets: list[Frame]) -> list[tuple[int, int, bytes, int]]:
    """All of the packets but the number of their interfaces, which are declared as they come up."""
    return [(packet.ts_ns, packet.len, packet.data, packet.link_type) for packet in packets]
