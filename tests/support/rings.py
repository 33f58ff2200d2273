"""Rings without a kernel: memory files laid out as the maps are, with the test as producer."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from pfq import layout
from pfq.ring import Reader

_HEADER = struct.Struct("<QIIIIHHHH")
_TAIL, _SLEEPING = (member.offset for member in layout.CONSUMER)
_HEAD, _, _LOST = (member.offset for member in layout.PRODUCER)


class FakeRings:
    """The rings of one end-point. Give `publish` to the reader's other side: it plays the program."""

    def __init__(self, cpus: Sequence[bool] = (True,), slots: int = 8, slot_bytes: int = 128) -> None:
        """cpus: for each CPU whether it has a ring."""
        self.slots, self.slot_bytes = slots, slot_bytes
        self.consumer_fd, self._consumer = _memory(len(cpus) * layout.CONSUMER_BYTES)
        made = [_memory((slots + 1) * slot_bytes) if has_ring else (-1, None) for has_ring in cpus]
        self.ring_fds = [fd for fd, _ in made]
        self._rings = [memory for _, memory in made]

    def reader(self, **options: Any) -> Reader:
        return Reader(self.ring_fds, self.consumer_fd, slots=self.slots, slot_bytes=self.slot_bytes, **options)

    def publish(self, *frames: bytes, cpu: int = 0, **fields: int) -> None:
        """Puts frames into a ring as the program does; counts them as lost when it is full.

        fields: of the header; the others get values that tell packets apart (see `header_of`)
        """
        for frame in frames:
            head = self.head(cpu)
            if head - self.tail(cpu) >= self.slots:
                self._store(cpu, _LOST, self.lost(cpu) + 1)
                continue
            at = self.slot_bytes * (1 + head % self.slots)
            captured = frame[: self.slot_bytes - layout.SLOT_HEADER_BYTES]
            header = header_of(head) | {"len": len(frame), "caplen": len(captured)} | fields
            record = _HEADER.pack(*(header[member.name] for member in layout.SLOT)) + captured
            self.memory(cpu)[at : at + len(record)] = record
            self.set_head(head + 1, cpu)

    def memory(self, cpu: int = 0) -> mmap.mmap:
        memory = self._rings[cpu]
        assert memory is not None
        return memory

    def head(self, cpu: int = 0) -> int:
        return int(struct.unpack_from("<Q", self.memory(cpu), _HEAD)[0])

    def set_head(self, head: int, cpu: int = 0) -> None:
        self._store(cpu, _HEAD, head)

    def lost(self, cpu: int = 0) -> int:
        return int(struct.unpack_from("<Q", self.memory(cpu), _LOST)[0])

    def tail(self, cpu: int = 0) -> int:
        return int(struct.unpack_from("<Q", self._consumer, cpu * layout.CONSUMER_BYTES + _TAIL)[0])

    def set_tail(self, tail: int, cpu: int = 0) -> None:
        struct.pack_into("<Q", self._consumer, cpu * layout.CONSUMER_BYTES + _TAIL, tail)

    def sleeping(self, cpu: int = 0) -> int:
        return int(struct.unpack_from("<I", self._consumer, cpu * layout.CONSUMER_BYTES + _SLEEPING)[0])

    def clear_sleeping(self, cpu: int = 0) -> None:
        struct.pack_into("<I", self._consumer, cpu * layout.CONSUMER_BYTES + _SLEEPING, 0)

    def close(self) -> None:
        for fd in (self.consumer_fd, *(fd for fd in self.ring_fds if fd >= 0)):
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _store(self, cpu: int, offset: int, value: int) -> None:
        struct.pack_into("<Q", self.memory(cpu), offset, value)


def header_of(number: int) -> dict[str, int]:
    """The fields, by default, of packet `number` of a ring."""
    names = [member.name for member in layout.SLOT]
    return {name: (number * 16 + i) % 0x10000 for i, name in enumerate(names)}


def frame_of(number: int, size: int = 60) -> bytes:
    """A frame that tells its number."""
    return number.to_bytes(4, "big") * (size // 4)


def _memory(size: int) -> tuple[int, mmap.mmap]:
    size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    fd = os.memfd_create("ring")
    os.ftruncate(fd, size)
    return fd, mmap.mmap(fd, size)
