"""Opening capture files of either format."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath

from pfq.errors import FileAccessError
from pfq.files.frame import Frame
from pfq.files.pcap import MAGICS, read_pcap
from pfq.files.pcapng import SECTION_HEADER, read_pcapng
from pfq.files.stream import Stream


def read_frames(path: str | PathLike[str]) -> Iterator[Frame]:
    """The frames of a pcap or pcapng file, in the order of the file, read as they are asked for.

    Raises, at the first frame, FileAccessError when the file cannot be opened; FileFormatError, with
    the offset, at the place that is damaged: the frames before it have been given by then.
    """
    name = fspath(path)
    try:
        file = open(name, "rb")  # noqa: SIM115 - closed below; only opening it may fail with OSError here
    except OSError as error:
        raise FileAccessError(f"cannot open {name}: {error.strerror}", hint="check the name and its rights") from error
    with file:
        stream = Stream(file, name)
        magic = stream.exactly(4, "its first word")
        if magic in MAGICS:
            yield from read_pcap(stream, magic)
        elif magic == SECTION_HEADER:
            yield from read_pcapng(stream)
        else:
            raise stream.damage(
                f"neither pcap nor pcapng (it begins with {magic.hex()})", hint="is it compressed, or a text file?"
            )
