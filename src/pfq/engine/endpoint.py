"""End-points: places where packets are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pfq.codegen.finish import Clock
from pfq.codegen.memory import EGRESS, RingShape
from pfq.engine.egress import Egress, refuse_loops
from pfq.engine.policy import Identity, Owner
from pfq.engine.rings import Rings
from pfq.engine.shapes import USUAL_MTU, ClockName, clock_named, shape_for
from pfq.engine.statistics import EndpointStatistics
from pfq.engine.steering import MAX_WEIGHT
from pfq.errors import PfqError, RingClosedError, UsageError
from pfq.ring.reader import Reader

if TYPE_CHECKING:
    from pfq.engine.engine import Engine
    from pfq.engine.group import Group


class Endpoint:
    """One reader's place in an engine, with rings of its own; made by `Engine.endpoint`.

    It joins groups, and gets one copy of each packet that some of them select it for. Snap length, slots, clock and
    egress are fixed while it is enabled.

    number   0 to 63
    failure  why it gets no more packets, when that is so
    """

    def __init__(self, engine: Engine, number: int, owner: Owner, tag: str = "") -> None:
        self._engine = engine
        self.number = number
        self._owner = owner
        self._tag = tag
        self._on_failure: Callable[[PfqError], object] | None = None
        self.failure: PfqError | None = None
        self.groups: dict[int, Group] = {}
        self._rings: Rings | None = None
        self._closed = False
        self._weight = 1
        self._snaplen: int | None = None
        self._slots: int | None = None
        self._clock = Clock.NS
        self._egress: Egress | None = None
        self.mtu = USUAL_MTU
        self.abandoned = 0
        """Packets that nobody had read when it was disabled."""

    @property
    def owner(self) -> Owner:
        """The process it belongs to."""
        return self._owner

    @owner.setter
    def owner(self, value: Owner) -> None:
        self._owner = value
        self._engine.save()

    @property
    def tag(self) -> str:
        """Its maker's own words about it."""
        return self._tag

    @tag.setter
    def tag(self, text: str) -> None:
        self._tag = text
        self._engine.save()

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
        self._remember()

    @property
    def slots(self) -> int:
        """Packets that each of its rings holds; there is a ring for each CPU."""
        return shape_for(self.mtu, self._snaplen, self._slots).slots

    @slots.setter
    def slots(self, value: int | None) -> None:
        self._disabled("number of slots")
        shape_for(self.mtu, self._snaplen, value)
        self._slots = value
        self._remember()

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
        self._remember()

    @property
    def egress(self) -> Egress | None:
        """Where its packets are sent, whole, instead of being put into rings; None: nowhere, they are read."""
        return self._egress

    @egress.setter
    def egress(self, where: Egress | None) -> None:
        self._disabled("device")
        if where is not None:
            self._engine.upkeep.targets.device(where.device)
            for group in self.groups.values():
                refuse_loops(group.bindings, [where])
        self._egress = where
        self._remember()

    @property
    def asked(self) -> tuple[int | None, int | None]:
        """Snap length and slots as they were asked for; None: what suits the MTU."""
        return self._snaplen, self._slots

    def shape_for(self, egress: Egress | None) -> RingShape:
        """What its rings are like, when its packets are sent there."""
        return shape_for(self.mtu, self._snaplen, self._slots) if egress is None else EGRESS

    def _disabled(self, what: str) -> None:
        self._open()
        if self.enabled:
            raise UsageError(f"the {what} of an end-point is fixed while it is enabled", hint="disable it first")

    def _remember(self) -> None:
        """The next process is to know what was set; the engine does that itself for one that it is just making."""
        if self._engine.endpoints.get(self.number) is self:
            self._engine.save()

    # its share

    @property
    def weight(self) -> int:
        """Its share of what groups steer, 1 to 8."""
        return self._weight

    @weight.setter
    def weight(self, value: int) -> None:
        self.set_weight(value)
        self._engine.changed_members(self)

    def set_weight(self, value: int) -> None:
        """The weight, as groups will see it when they ask."""
        self._open()
        if not isinstance(value, int) or not 1 <= value <= MAX_WEIGHT:
            raise UsageError(f"an end-point has a weight of 1 to {MAX_WEIGHT}, not {value!r}")
        self._weight = value

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
        shape = self.shape_for(self._egress)
        with self._engine.lock:
            rings = self._rings = self._engine.enable(self, shape, self._clock)
            try:
                self._engine.save()
            except BaseException:
                self._rings = None
                self._engine.disable(self, rings)
                raise
        for group in list(self.groups.values()):
            classes = group.members[self.number][1]
            self._engine.tried(partial(self._engine.join, group, self, classes))

    def resume(self, rings: Rings | None, egress: Egress | None) -> None:
        """It is what it was in a process that has ended."""
        self._rings, self._egress = rings, egress

    def disable(self) -> None:
        """Leaves all groups and gives its rings back; what was not read is lost. Again is harmless."""
        self._engine.leave_all(self)
        with self._engine.lock:
            rings, self._rings = self._rings, None
            if rings is not None:
                self.abandoned = rings.statistics().waiting if self._egress is None else 0
                self._engine.disable(self, rings)
                self._engine.save(must=False)

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
        """Reads its packets, made when it is first asked for; raises UsageError when they are sent on a device."""
        if self._egress is not None:
            raise UsageError(f"the end-point sends its packets on {self._egress}, so there is nothing to read")
        reader = self.rings.reader
        if self.failure is not None:
            reader.fail(self.failure)
        return reader

    # when there are no more packets

    @property
    def on_failure(self) -> Callable[[PfqError], object] | None:
        """What is called when it gets no more packets, from a thread of the engine and with its lock; at once when
        that has happened already."""
        return self._on_failure

    @on_failure.setter
    def on_failure(self, function: Callable[[PfqError], object] | None) -> None:
        self._on_failure = function
        if function is not None and self.failure is not None:
            function(self.failure)

    def fail(self, error: PfqError) -> None:
        """There will be no more packets, because of `error`: its reader gets what is there, then the error."""
        self.failure = error
        if self._rings is not None and (reader := self._rings.read_here) is not None:
            reader.fail(error)
        if self._on_failure is not None:
            self._on_failure(error)

    def statistics(self) -> EndpointStatistics:
        """Its counters since it was enabled."""
        found = self.rings.statistics()
        return found if self._egress is None else replace(found, read=found.delivered, waiting=0)

    def _open(self) -> None:
        if self._closed:
            raise RingClosedError(f"end-point {self.number} is closed", hint="make another one")

    def close(self) -> None:
        """Leaves all groups and ends; its number becomes free. Again is harmless."""
        if not self._closed:
            self.disable()
            self._closed = True
            self._engine.forget(self)

    def end(self, keep: bool = False) -> None:
        """The engine closes: nothing runs any more, unless all is kept for the next one. Counters stay readable."""
        self._closed = True
        if self._rings is not None:
            self._rings.close(keep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Endpoint {self.number}, in {len(self.groups)} groups>"
