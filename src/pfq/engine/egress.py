"""Egress end-points: what groups select them for is sent on a device, and nobody reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pfq.errors import UsageError
from pfq.kernel.devices import ARPHRD_LOOPBACK

if TYPE_CHECKING:
    from pfq.engine.bindings import Bound

MAX_QUEUE: Final = 0xFFFD
"""A frame carries its queue plus 1 in 16 bits, and 0xFFFF says none."""


@dataclass(frozen=True, slots=True)
class Egress:
    """Where an egress end-point sends packets; raises UsageError for a queue that no device has.

    device  its name; it is followed when it goes, comes back or is renamed
    queue   its transmit queue, modulo the queues it uses; None: that of the receive queue by which a packet came,
            or what Linux chooses
    """

    device: str
    queue: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise UsageError(f"a device is given by its name, not as {self.device!r}")
        if self.queue is not None and (not isinstance(self.queue, int) or not 0 <= self.queue <= MAX_QUEUE):
            raise UsageError(f"a transmit queue is 0 to {MAX_QUEUE}, not {self.queue!r}")

    def __str__(self) -> str:
        return self.device if self.queue is None else f"queue {self.queue} of {self.device}"


def refuse_loops(bindings: Iterable[Bound], members: Iterable[Egress | None]) -> None:
    """Raises UsageError when a group would see again at once what its egress end-points send."""
    devices = {each.device for each in members if each is not None}
    for bound in bindings:
        if bound.device.name not in devices:
            continue
        if bound.direction != "in" or bound.device.link_type == ARPHRD_LOOPBACK:
            raise UsageError(
                f"the group sees what `{bound.device.name}` sends, and one of its egress end-points sends there",
                hint="each copy would come again; bind the group to incoming packets, or send on another device",
            )
