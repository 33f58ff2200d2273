"""Capture files: writing pcapng and classic pcap, into one file or a row of them."""

from pfq.files.writing.base import PacketWriter, live_interface
from pfq.files.writing.pcap import PcapWriter
from pfq.files.writing.pcapng import PcapngWriter
from pfq.files.writing.rotation import RotatingWriter, Rotation, open_writer

__all__ = [
    "PacketWriter",
    "PcapWriter",
    "PcapngWriter",
    "RotatingWriter",
    "Rotation",
    "live_interface",
    "open_writer",
]
