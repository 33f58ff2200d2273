"""Capture files: reading and writing pcap and pcapng."""

from pfq.files.capfile import CaptureFile, Interface, InterfaceStatistics, Section
from pfq.files.frame import Frame
from pfq.files.reading import read_frames

__all__ = ["CaptureFile", "Frame", "Interface", "InterfaceStatistics", "Section", "read_frames"]
