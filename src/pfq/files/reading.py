"""The packets of a capture file one by one: for tests and small files."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

from pfq.files.capfile import CaptureFile
from pfq.files.frame import Frame


def read_frames(path: str | PathLike[str]) -> Iterator[Frame]:
    """The frames of a pcap or pcapng file, in the order of the file, read as they are asked for.

    Raises, at the first frame, FileAccessError when the file cannot be opened; FileFormatError, with
    the offset, at the place that is damaged: the frames before it have been given by then.
    """
    with CaptureFile(path) as file:
        for records in file.runs():
            rows = records.array[["ts_ns", "len", "link_type", "interface"]].tolist()
            for i, (ts_ns, length, link_type, interface) in enumerate(rows):
                yield Frame(ts_ns, length, records.bytes(i), link_type, interface)
