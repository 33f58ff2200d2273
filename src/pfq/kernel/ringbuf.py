"""Reading a BPF ring buffer: records that programs leave for user space."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Final

from pfq.kernel.maps import Map

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_HEADER: Final = struct.Struct("=II")
_POSITION: Final = struct.Struct("=Q")


class RingBuffer:
    """The consumer of a map of type RINGBUF; there may be only one."""

    def __init__(self, table: Map) -> None:
        self._size = table.spec.entries
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(table.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The producer's page, then the data twice in a row, so that a record never wraps.
        self._producer = mmap.mmap(table.fd, page + 2 * self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)

    def records(self) -> Iterator[bytes]:
        """The records that are there, oldest first."""
        (at,) = _POSITION.unpack_from(self._consumer)
        (end,) = _POSITION.unpack_from(self._producer)
        while at < end:
            start = mmap.PAGESIZE + at % self._size
            length, _ = _HEADER.unpack_from(self._producer, start)
            if length & _BUSY:
                return
            size = length & ~(_BUSY | _DISCARDED)
            record = None if length & _DISCARDED else self._producer[start + 8 : start + 8 + size]
            at += 8 + (size + 7) // 8 * 8
            _POSITION.pack_into(self._consumer, 0, at)
            if record is not None:
                yield record

    def close(self) -> None:
        """Unmaps it; again is harmless."""
        self._consumer.close()
        self._producer.close()
