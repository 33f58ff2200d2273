"""The memory of an end-point: its rings, one for each CPU, the page its reader writes, and its doorbell."""

from __future__ import annotations

from contextlib import ExitStack

from pfq.codegen.memory import DOORBELL, RingShape, consumer_spec, ring_spec
from pfq.engine.statistics import EndpointStatistics
from pfq.kernel.maps import Map
from pfq.ring.reader import Reader


class Rings:
    """The maps of one end-point and their reader.

    The rings are frozen before anybody gets them: programs go on writing them, user space never can.
    """

    def __init__(self, shape: RingShape, cpus: int) -> None:
        self.shape = shape
        with ExitStack() as undo:
            self.rings = [undo.enter_context(Map.create(ring_spec(shape))) for _ in range(cpus)]
            self.consumer = undo.enter_context(Map.create(consumer_spec(cpus)))
            self.doorbell = undo.enter_context(Map.create(DOORBELL))
            for ring in self.rings:
                ring.freeze()
            self.reader = Reader(
                [ring.fd for ring in self.rings],
                self.consumer.fd,
                slots=shape.slots,
                slot_bytes=shape.slot_bytes,
                doorbell_fd=self.doorbell.fd,
            )
            self._maps = undo.pop_all()

    @property
    def descriptors(self) -> list[int]:
        """What a reader in another process needs: the rings by CPU, the consumer page, the doorbell."""
        return [*(ring.fd for ring in self.rings), self.consumer.fd, self.doorbell.fd]

    def statistics(self) -> EndpointStatistics:
        ring = self.reader.statistics()
        return EndpointStatistics(
            selected=ring.delivered + ring.lost,
            delivered=ring.delivered,
            lost=ring.lost,
            read=ring.read,
            waiting=ring.waiting,
        )

    def close(self) -> None:
        """Ends the reader and gives the descriptors back."""
        self.reader.close()
        self._maps.close()
