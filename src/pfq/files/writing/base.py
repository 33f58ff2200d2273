"""What all writers of capture files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from pfq._libpfq import ffi, lib
from pfq.columns.records import Array, Records
from pfq.errors import PfqError
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing.blocks import system
from pfq.files.writing.output import Output
from pfq.files.writing.packets import NO_LIMIT, BatchPackets, Limit, Packets, RingBatch, of_records

ETHERNET: Final = 1
_BUFFER_BYTES: Final = 1 << 20
_NANOSECONDS: Final = 1_000_000_000


class Losses(Protocol):
    """Counts of a capture; the statistics of a ring, an end-point and a capture all have these."""

    @property
    def delivered(self) -> int: ...
    @property
    def lost(self) -> int: ...


def live_interface(name: str, snaplen: int) -> Interface:
    """The interface of packets that are captured live on a device; `snaplen` in bytes."""
    return Interface(number=0, link_type=ETHERNET, snaplen=snaplen, name=name, os=system(), resolution=_NANOSECONDS)


class PacketWriter(ABC):
    """Where packets are written to. What was given to `write` is in the file when it returns.

    The packets of `write_records` come from the interfaces of the constructor, or of the last `source`;
    the list may grow, as that of a file does that is being read.
    """

    full = False
    """The last file allowed is complete: no more packets are taken."""
    packets = 0
    """packets written"""

    def write(self, batch: RingBatch) -> None:
        """Appends the packets of a batch of live capture. Raises OutputError (disk full ...), ViewExpiredError."""
        self._take(BatchPackets(batch))

    def write_records(self, records: Records, chosen: Array | None = None) -> None:
        """Appends packets of a run of a file: those for which the mask `chosen` is true, or with these numbers.

        Raises OutputError (disk full ...), UsageError (the format has no room for such packets), IndexError.
        """
        self._take(of_records(records, chosen))

    @abstractmethod
    def source(self, interfaces: Sequence[Interface]) -> None:
        """Records that follow come from another file, with these interfaces."""

    @abstractmethod
    def count(self, interface: int, counted: InterfaceStatistics) -> None:
        """Counts of an interface of the source, for the end of the file; pcap has no place for them."""

    @abstractmethod
    def close(self, losses: Losses | None = None) -> None:
        """Ends the file; with `losses` it tells how many packets the first interface received and lost."""

    @abstractmethod
    def _take(self, packets: Packets) -> None:
        """Writes all of them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class FileWriter(PacketWriter):
    """One file."""

    def __init__(self, path: str, interfaces: Sequence[Interface] = ()) -> None:
        self.path = path
        self._interfaces = interfaces
        self._output = Output(path)
        self._job = ffi.new("struct pfq_write *")
        self._reserve(_BUFFER_BYTES)

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._output.position

    def put(self, packets: Packets, limit: Limit = NO_LIMIT) -> None:
        """Writes packets until all are done or one is beyond the limit. Raises as `write_records` does."""
        self._prepare()
        job = self._job
        packets.show(job)
        job.count, job.last_ns = packets.count, limit.last_ns
        end = limit.size if self.packets else max(limit.size, self.size)  # one packet fits into any file
        while packets.done < packets.count and self.size <= end:
            job.done = before = packets.done
            job.limit = end - self.size
            size = self._format(job)
            self._send(memoryview(self._view)[:size], job.done - before)
            packets.done = job.done
            if job.end in (lib.PFQ_WRITE_LIMIT, lib.PFQ_WRITE_LATE):
                return
            if job.end == lib.PFQ_WRITE_REFUSED:
                raise self._refusal(packets.next)
            if job.end == lib.PFQ_WRITE_FULL and not size:
                self._reserve(2 * int(packets.next["caplen"]))

    def close(self, losses: Losses | None = None) -> None:
        if self._output.closed:
            return
        try:
            self._finish(losses)
        finally:
            self._output.close()

    def _take(self, packets: Packets) -> None:
        self.put(packets)

    def _reserve(self, size: int) -> None:
        self._buffer = ffi.new("char[]", size)
        self._view = ffi.buffer(self._buffer)
        self._job.buf, self._job.cap = self._buffer, size

    def _send(self, data: bytes | memoryview, packets: int = 0) -> None:
        """Writes data that consists of so many whole packets, or of none; of a part, what is whole remains."""
        written = self._output.write(data)
        if written == len(data):
            self.packets += packets
            return
        whole, found = self._whole(bytes(data[:written])) if packets else (0, 0)
        self.packets += found
        raise self._output.fail(written - whole, self.packets)

    @abstractmethod
    def _prepare(self) -> None:
        """Writes what must stand in the file before more packets do."""

    @abstractmethod
    def _finish(self, losses: Losses | None) -> None:
        """Writes what stands at the end of the file."""

    @abstractmethod
    def _format(self, job: Any) -> int:
        """Packets into the buffer; returns bytes."""

    def _whole(self, data: bytes) -> tuple[int, int]:
        """Bytes of the whole packets at the start of `data`, and their number."""
        whole = packets = 0
        while (size := self._size(data, whole)) is not None and whole + size <= len(data):
            packets += 1
            whole += size
        return whole, packets

    @abstractmethod
    def _size(self, data: bytes, at: int) -> int | None:
        """Bytes that the packet at a place takes in the file; None where not even that can be read."""

    @abstractmethod
    def _refusal(self, record: Any) -> PfqError:
        """Why this packet cannot be in the file."""
