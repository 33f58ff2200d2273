"""Writing classic pcap files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from pfq._libpfq import lib
from pfq.errors import PfqError, UsageError
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing import blocks
from pfq.files.writing.base import ETHERNET, FileWriter, Losses

LONGEST_SNAPLEN: Final = 262_144
"""Bytes; what stands in the header when nothing limits the packets, as tcpdump has it."""

_RECORD: Final = struct.Struct("<IIII")  # seconds, units, captured length, length
_SNAPLEN_AT: Final = 16  # bytes from the start of the file
_MICROSECONDS: Final = 1_000_000
_YEAR_NS: Final = 31_556_952_000_000_000
_LINK_TYPES: Final = {
    0: "NULL", 1: "EN10MB", 9: "PPP", 101: "RAW", 105: "IEEE802_11", 108: "LOOP", 113: "LINUX_SLL",
    127: "IEEE802_11_RADIO", 228: "IPV4", 229: "IPV6", 276: "LINUX_SLL2",
}  # fmt: skip


class PcapWriter(FileWriter):
    """A classic pcap file: packets of one link type, without interfaces and counts.

    Its times are in microseconds, as tcpdump writes them, when these are exact for all interfaces known at the
    first packet, and else in nanoseconds. Times of interfaces that come later are rounded down to that.
    """

    def __init__(self, path: str, interfaces: Sequence[Interface] = ()) -> None:
        """Creates the file, or empties it; `-` is standard output. Raises FileAccessError."""
        super().__init__(path, interfaces)
        self._snaplen = self._longest = 0  # in the header, and what it had to be

    def source(self, interfaces: Sequence[Interface]) -> None:
        self._interfaces = interfaces

    def count(self, interface: int, counted: InterfaceStatistics) -> None:
        """There is no place for them."""

    def _prepare(self) -> None:
        """Writes the header, once."""
        described = self._interfaces or [Interface(number=0, link_type=ETHERNET)]
        self._longest = max(self._longest, *(interface.snaplen or LONGEST_SNAPLEN for interface in described))
        if self.size:
            return
        exact = all(_MICROSECONDS % interface.resolution == 0 for interface in described)
        self._job.link_type, self._job.unit_ns = described[0].link_type, 1000 if exact else 1
        self._snaplen = self._longest
        self._send(blocks.pcap_header(self._job.unit_ns, self._snaplen, self._job.link_type))

    def _finish(self, losses: Losses | None) -> None:
        """Readers cut packets at the snap length of the header, so interfaces that came up later may raise it."""
        self._prepare()
        if self._longest > self._snaplen:
            self._output.patch(_SNAPLEN_AT, struct.pack("<I", self._longest))

    def _format(self, job: Any) -> int:
        return int(lib.pfq_write_pcap(job))

    def _size(self, data: bytes, at: int) -> int | None:
        if at + _RECORD.size > len(data):
            return None
        _, _, caplen, _ = _RECORD.unpack_from(data, at)
        return _RECORD.size + int(caplen)

    def _refusal(self, record: Any) -> PfqError:
        if record["link_type"] == self._job.link_type:
            why = f"a packet of the year {1970 + int(record['ts_ns']) // _YEAR_NS} is beyond the times of classic pcap"
        else:
            its, other = _link_type(self._job.link_type), _link_type(int(record["link_type"]))
            why = f"its packets are of link type {its}, and here is one of {other}: classic pcap has one for all"
        return UsageError(f"{self.path}: {why}", hint="write pcapng, which has room for it")


def _link_type(number: int) -> str:
    """A link type with the name that tcpdump gives it, for the usual ones."""
    return f"{_LINK_TYPES[number]} ({number})" if number in _LINK_TYPES else str(number)
