"""One frame of a capture file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured frame.

    ts_ns      arrival, ns since 1970; 0 when the file has no time for it
    len        length on the wire, bytes
    data       the captured bytes, at most the snap length of the capture
    link_type  what `data` begins with, by the LINKTYPE numbers of tcpdump.org; 1 is Ethernet
    interface  number of the interface in the file, from 0 and always 0 in pcap
    """

    ts_ns: int
    len: int
    data: bytes
    link_type: int
    interface: int
