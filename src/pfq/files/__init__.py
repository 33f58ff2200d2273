"""Capture files: reading pcap and pcapng."""

from pfq.files.frame import Frame
from pfq.files.reading import read_frames

__all__ = ["Frame", "read_frames"]
