"""The memory of an end-point: its rings, one for each CPU, the page its reader writes, and its doorbell."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from pfq import layout
from pfq.codegen.memory import DOORBELL, RingShape, consumer_spec, ring_spec
from pfq.codegen.spec import MapSpec
from pfq.engine.keeper import Keeper
from pfq.engine.statistics import EndpointStatistics
from pfq.kernel.maps import Map
from pfq.ring.reader import Reader

_AT = {member.name: member.offset for member in (*layout.PRODUCER, *layout.CONSUMER)}
_WORD = struct.Struct("@Q")


class Rings:
    """The maps of one end-point, and its reader when it is read in this process.

    The rings are frozen before anybody gets them: programs go on writing them, user space never can.
    """

    def __init__(self, shape: RingShape, maps: Sequence[Map], keeper: Keeper) -> None:
        """maps: what a reader in another process needs: the rings by CPU, the consumer page, the doorbell."""
        self.shape = shape
        self.maps = tuple(maps)
        *rings, self.consumer, self.doorbell = maps
        self.rings = tuple(rings)
        self._keeper = keeper
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._final: EndpointStatistics | None = None
        with ExitStack() as undo:
            # Element 0, the producer's line, is at the beginning of the first page.
            self._lines = [undo.enter_context(ring.mmap(pages=1)) for ring in self.rings]
            self._released = undo.enter_context(self.consumer.mmap())
            self._pages = undo.pop_all()

    @classmethod
    def create(cls, shape: RingShape, cpus: int, keeper: Keeper) -> Rings:
        """New ones, which are empty; raises LimitError when there is no memory for them."""
        maps: list[Map] = []
        with ExitStack() as undo:
            for spec in ring_maps(shape, cpus):
                maps.append(keeper.create(spec))
                undo.callback(keeper.drop, maps[-1])
            for ring in maps[:cpus]:
                ring.freeze()
            made = cls(shape, maps, keeper)
            undo.pop_all()
            return made

    @property
    def descriptors(self) -> list[int]:
        """`maps` as descriptors."""
        return [table.fd for table in self.maps]

    @property
    def reader(self) -> Reader:
        """Reads them in this process; made when it is first asked for. Rings have one reader, wherever it is."""
        with self._lock:
            if self._reader is None:
                self._reader = Reader(
                    [ring.fd for ring in self.rings],
                    self.consumer.fd,
                    slots=self.shape.slots,
                    slot_bytes=self.shape.slot_bytes,
                    doorbell_fd=self.doorbell.fd,
                )
            return self._reader

    @property
    def read_here(self) -> Reader | None:
        """The reader, when somebody has asked for it."""
        return self._reader

    def statistics(self) -> EndpointStatistics:
        """The counters now, or when they were closed."""
        with self._lock:
            return self._final or self._counted()

    def _counted(self) -> EndpointStatistics:
        return self._as_the_reader_says(self._reader) if self._reader is not None else self._as_the_rings_say()

    def _as_the_reader_says(self, reader: Reader) -> EndpointStatistics:
        found = reader.statistics()
        return EndpointStatistics(found.delivered + found.lost, found.delivered, found.lost, found.read, found.waiting)

    def _as_the_rings_say(self) -> EndpointStatistics:
        """For a reader in another process, of which only its own page tells how far it is; it may write anything."""
        delivered = lost = read = 0
        for cpu, line in enumerate(self._lines):
            # The reader's word first, so that it is not ahead while packets arrive.
            (released,) = _WORD.unpack_from(self._released, cpu * layout.CONSUMER_BYTES + _AT["tail"])
            (head,) = _WORD.unpack_from(line, _AT["head"])
            (missed,) = _WORD.unpack_from(line, _AT["lost"])
            delivered += head
            lost += missed
            read += min(max(released, head - self.shape.slots, 0), head)
        return EndpointStatistics(delivered + lost, delivered, lost, read, delivered - read)

    def close(self, keep: bool = False) -> None:
        """Ends the reader and gives the descriptors back; again is harmless.

        keep  the maps stay where they are, for the next engine
        """
        with self._lock:
            if self._final is not None:
                return
            if self._reader is not None:
                self._reader.close()
            self._final = self._counted()
            self._pages.close()
        for table in self.maps:
            if keep:
                table.close()
            else:
                self._keeper.drop(table)


def ring_maps(shape: RingShape, cpus: int) -> list[MapSpec]:
    """The maps of one end-point: the rings by CPU, the consumer page, the doorbell."""
    return [ring_spec(shape)] * cpus + [consumer_spec(cpus), DOORBELL]
