"""End-points: places where packets are read."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from pfq.codegen.finish import Clock
from pfq.engine.policy import Identity, Owner
from pfq.engine.rings import Rings
from pfq.engine.shapes import USUAL_MTU, ClockName, clock_named, shape_for
from pfq.engine.statistics import EndpointStatistics
from pfq.engine.steering import MAX_WEIGHT
from pfq.errors import RingClosedError, UsageError
from pfq.ring.reader import Reader

if TYPE_CHECKING:
    from pfq.engine.engine import Engine
    from pfq.engine.group import Group


class Endpoint:
    """One reader's place in an engine, with rings of its own; made by `Engine.endpoint`.

    It joins groups, and gets one copy of each packet that some of them select it for. Snap length, slots and clock
    are fixed while it is enabled.

    number  0 to 63
    owner   the process it belongs to
    """

    def __init__(self, engine: Engine, number: int, owner: Owner) -> None:
        self._engine = engine
        self.number = number
        self.owner = owner
        self.groups: dict[int, Group] = {}
        self._rings: Rings | None = None
        self._closed = False
        self._weight = 1
        self._snaplen: int | None = None
        self._slots: int | None = None
        self._clock = Clock.NS
        self.mtu = USUAL_MTU

    @property
    def identity(self) -> Identity:
        return Identity(self.number, self.owner)

    # what is fixed while it is enabled

    @property
    def snaplen(self) -> int:
        """Bytes of a frame that it keeps."""
        return shape_for(self.mtu, self._snaplen, self._slots).snaplen

    @snaplen.setter
    def snaplen(self, value: int | None) -> None:
        self._disabled("snap length")
        shape_for(self.mtu, value, self._slots)
        self._snaplen = value

    @property
    def slots(self) -> int:
        """Packets that each of its rings holds; there is a ring for each CPU."""
        return shape_for(self.mtu, self._snaplen, self._slots).slots

    @slots.setter
    def slots(self, value: int | None) -> None:
        self._disabled("number of slots")
        shape_for(self.mtu, self._snaplen, value)
        self._slots = value

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot, with its header."""
        return shape_for(self.mtu, self._snaplen, self._slots).slot_bytes

    @property
    def clock(self) -> ClockName:
        """Where time stamps come from."""
        return self._clock.value

    @clock.setter
    def clock(self, name: ClockName) -> None:
        self._disabled("clock")
        self._clock = clock_named(name)

    def _disabled(self, what: str) -> None:
        self._open()
        if self.enabled:
            raise UsageError(f"the {what} of an end-point is fixed while it is enabled", hint="disable it first")

    # its share

    @property
    def weight(self) -> int:
        """Its share of what groups steer, 1 to 8."""
        return self._weight

    @weight.setter
    def weight(self, value: int) -> None:
        self._open()
        if not isinstance(value, int) or not 1 <= value <= MAX_WEIGHT:
            raise UsageError(f"an end-point has a weight of 1 to {MAX_WEIGHT}, not {value!r}")
        self._weight = value
        self._engine.changed_members(self)

    # on and off

    @property
    def enabled(self) -> bool:
        """It has rings, and gets packets."""
        return self._rings is not None

    def enable(self) -> None:
        """Makes its rings; from then on it gets packets of the groups it is in."""
        self._open()
        if self.enabled:
            raise UsageError("the end-point is enabled already")
        shape = shape_for(self.mtu, self._snaplen, self._slots)
        self._rings = self._engine.enable(self, shape, self._clock)
        for group in list(self.groups.values()):
            self._engine.join(group, self, group.members[self.number][1])

    def disable(self) -> None:
        """Leaves all groups and gives its rings back; what was not read is lost. Again is harmless."""
        self._engine.leave_all(self)
        rings, self._rings = self._rings, None
        if rings is not None:
            self._engine.disable(self, rings)

    @property
    def rings(self) -> Rings:
        """Its rings; raises UsageError when it is not enabled."""
        if self._rings is None:
            self._open()
            raise UsageError("the end-point is not enabled, so there is nothing to read", hint="enable it")
        return self._rings

    @property
    def shape_and_clock(self) -> tuple[int, Clock] | None:
        """The shape of its rings and its clock, when it has some."""
        return (self._rings.shape.number, self._clock) if self._rings else None

    @property
    def reader(self) -> Reader:
        """Reads its packets."""
        return self.rings.reader

    def statistics(self) -> EndpointStatistics:
        """Its counters since it was enabled."""
        return self.rings.statistics()

    def _open(self) -> None:
        if self._closed:
            raise RingClosedError(f"end-point {self.number} is closed", hint="make another one")

    def close(self) -> None:
        """Leaves all groups and ends; its number becomes free. Again is harmless."""
        if not self._closed:
            self.disable()
            self._closed = True
            self._engine.forget(self)

    def end(self) -> None:
        """The engine closes: nothing runs any more. Its counters stay readable."""
        self._closed = True
        if self._rings is not None:
            self._rings.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Endpoint {self.number}, in {len(self.groups)} groups>"
