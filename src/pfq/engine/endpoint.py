"""An end-point: its rings, one for each CPU, the page its reader writes, and its doorbell."""

from __future__ import annotations

from contextlib import ExitStack

from pfq.codegen import layouts
from pfq.codegen.memory import DOORBELL, RingShape, consumer_spec, ring_spec
from pfq.engine.statistics import EndpointStatistics
from pfq.kernel.maps import Map
from pfq.ring.reader import Reader


class Endpoint:
    """The maps of one end-point and its reader.

    The rings are frozen before anybody gets them: programs go on writing them, user space never can.
    """

    def __init__(self, number: int, shape: RingShape, cpus: int) -> None:
        self.number = number
        with ExitStack() as undo:
            self._rings = [undo.enter_context(Map.create(ring_spec(shape))) for _ in range(cpus)]
            self._consumer = undo.enter_context(Map.create(consumer_spec(cpus)))
            self._doorbell = undo.enter_context(Map.create(DOORBELL))
            for ring in self._rings:
                ring.freeze()
            self.reader = Reader(
                [ring.fd for ring in self._rings],
                self._consumer.fd,
                slots=shape.slots,
                slot_bytes=shape.slot_bytes,
                doorbell_fd=self._doorbell.fd,
            )
            self._maps = undo.pop_all()

    def install(self, maps: dict[str, Map]) -> None:
        """Makes the end-point known to a program, by putting its maps into the program's."""
        cpus = len(self._rings)
        for cpu, ring in enumerate(self._rings):
            maps[layouts.RINGS_MAP].set_inner(self.number * cpus + cpu, ring)
        maps[layouts.CONSUMERS_MAP].set_inner(self.number, self._consumer)
        maps[layouts.DOORBELLS_MAP].set_inner(self.number, self._doorbell)

    @property
    def descriptors(self) -> list[int]:
        """What a reader in another process needs: the rings by CPU, the consumer page, the doorbell."""
        return [*(ring.fd for ring in self._rings), self._consumer.fd, self._doorbell.fd]

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
