"""What can be known of a file before it is read."""

from __future__ import annotations

import os
from typing import NamedTuple

from pfq.files.batch import Source
from pfq.files.capfile import CaptureFile
from pfq.files.source import STDIN


class Known(NamedTuple):
    """What is known of a file before it is read."""

    size: int
    comment: str


def known(path: Source) -> Known | None:
    """Of a capture file that can be opened more than once; None for pipes and their like.

    Raises FileAccessError and FileFormatError.
    """
    if not isinstance(path, str | os.PathLike) or path == STDIN or (os.path.exists(path) and not os.path.isfile(path)):
        return None
    with CaptureFile(path) as file:
        return Known(file.size or 0, file.section.comment)
