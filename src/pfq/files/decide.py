"""Deciding the packets of files: one group, over one run of packets after the other."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pfq.codegen.batch import NativeGroup
from pfq.columns.ethernet import ETHERNET, as_ethernet
from pfq.columns.records import Array, Records
from pfq.columns.verdicts import VERDICT_DTYPE
from pfq.engine.statistics import GroupStatistics
from pfq.engine.steering import Member, SteeringTable
from pfq.files.capfile import RUN_PACKETS, CaptureFile
from pfq.files.pool import Pool
from pfq.layout import RECORD_BYTES, VERDICT_BYTES

if TYPE_CHECKING:
    from pfq.engine.events import ProgramEvent
    from pfq.lang.berkeley import BerkeleyFilter
    from pfq.lang.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked of every packet.

    vlans      as `pfq.lang.group.vlan_filter` returns it
    endpoints  how many
    looks      there is a program or a filter, so packets that nothing can look into do not pass
    """

    program: Program
    filter: BerkeleyFilter | None
    vlans: frozenset[int] | None
    endpoints: int
    looks: bool

    def group(self) -> NativeGroup:
        """The group, compiled, with its end-points."""
        group = NativeGroup(self.program, filter=self.filter, vlans=self.vlans)
        members = [Member(number) for number in range(self.endpoints)]
        group.set_members([SteeringTable.of(members, classes).pack() for classes in group.sets])
        return group


@dataclass(frozen=True, slots=True)
class Counted:
    """What a decider has counted.

    copies   packets for each of 64 end-points
    unknown  packets that nothing can look into, by link type; filtered, when there was a program or a filter
    """

    group: GroupStatistics
    copies: tuple[int, ...]
    unknown: dict[int, int]


class Decider:
    """A group with all that it has counted, for the packets of one file or of several in turn.

    arrived  packets decided
    full     as many packets are selected as were wanted
    """

    def __init__(self, group: NativeGroup, looks: bool, limit: int | None = None) -> None:
        """limit: nothing is decided behind the packet that is selected as the `limit`th."""
        self._group, self._looks, self._limit = group, looks, limit
        self._pool = Pool(lambda: np.empty(RUN_PACKETS, VERDICT_DTYPE))
        self._known = 0
        self._all_ethernet = True
        self._events: deque[ProgramEvent] = deque()
        self._unknown: Counter[int] = Counter()
        self._final: Counted | None = None
        self.arrived = 0
        self.full = False

    def begin(self) -> None:
        """Another file follows, with interfaces of its own."""
        self._known, self._all_ethernet = 0, True

    def decide(self, file: CaptureFile, records: Records) -> tuple[Records, Array]:
        """The packets of a run that were decided, and the verdicts: all of the run, or those up to the limit."""
        frames, unknown = self._frames(file, records)
        verdicts = self._pool.take()[: len(records)]
        done = self._all(frames, verdicts, unknown)
        return (
            (records, verdicts) if done == len(records) else (Records(records.array[:done], records), verdicts[:done])
        )

    def count(self, file: CaptureFile, records: Records) -> None:
        """The same when nobody wants the verdicts."""
        frames, unknown = self._frames(file, records)
        self._all(frames, None, unknown)

    def _all(self, frames: Records, verdicts: Array | None, unknown: Array | None) -> int:
        done = self._run(frames, verdicts) if unknown is None else self._run_known(frames, verdicts, unknown)
        self.arrived += done
        return done

    def _frames(self, file: CaptureFile, records: Records) -> tuple[Records, Array | None]:
        """What the group gets to see, and a mask of the packets that it must not see."""
        if len(file.interfaces) != self._known:
            self._known = len(file.interfaces)
            self._all_ethernet = all(interface.link_type == ETHERNET for interface in file.interfaces)
            self._group.set_interfaces(interface.name for interface in file.interfaces)
        if self._all_ethernet or not self._looks:
            return records, None
        frames = as_ethernet(records)
        unknown = frames.array["link_type"] != ETHERNET
        return frames, unknown if unknown.any() else None

    def _run(self, frames: Records, verdicts: Array | None) -> int:
        """Decides packets until all are done or the limit is reached; says how many."""
        total, start = len(frames), frames.address
        places = 0 if verdicts is None else int(verdicts.ctypes.data)
        done = 0
        while done < total and not self.full:
            place = places and places + done * VERDICT_BYTES
            now = self._group.run(start + done * RECORD_BYTES, total - done, place, self._left())
            self._take_events(frames, done)
            done += now
            self.full = self._left() == 0
        return done

    def _run_known(self, frames: Records, verdicts: Array | None, unknown: Array) -> int:
        """The same for the packets that can be looked into; the others, as far as these come, are filtered."""
        numbers = np.flatnonzero(~unknown)
        known = Records(frames.array[numbers], frames)
        found = np.empty(len(known), VERDICT_DTYPE)
        done = self._run(known, found)
        end = len(frames) if done == len(known) and not self.full else int(numbers[done - 1]) + 1
        if verdicts is not None:
            verdicts[:] = 0
            verdicts[numbers[:done]] = found[:done]
        types, counts = np.unique(frames.array["link_type"][:end][unknown[:end]], return_counts=True)
        self._unknown.update(dict(zip(types.tolist(), counts.tolist(), strict=True)))
        return end

    def _left(self) -> int | None:
        """How many packets may still be selected."""
        return None if self._limit is None else self._limit - self._group.counts()["selected"]

    def _take_events(self, frames: Records, first: int) -> None:
        found = self._group.events()
        if found:
            from pfq.files.events import program_event  # late: most programs tell nothing

            for event in found:
                site = self._group.plan.sites[event.site]
                self._events.append(program_event(site, event.action, frames, first + event.index))

    def events(self) -> list[ProgramEvent]:
        """What the program told since the last call."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def counted(self) -> Counted:
        """The counters now."""
        if self._final is not None:
            return self._final
        unknown = self._unknown.total()
        counts = self._group.counts()
        counts["arrived"] += unknown
        counts["filtered"] += unknown
        group = GroupStatistics(**counts, counters=self._group.counters())
        return Counted(group, self.copies(), dict(self._unknown))

    def copies(self) -> tuple[int, ...]:
        """Packets for each of 64 end-points."""
        return self._group.copies()

    def finish(self) -> None:
        """Nothing will be decided any more: the counts stay, the memory of the program goes."""
        self._final = self.counted()
        del self._group
