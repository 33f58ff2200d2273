"""From files to decided packets: one file after the other, or several at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from pfq.columns.records import Array, Records
from pfq.engine.statistics import CaptureStatistics, EndpointStatistics, GroupStatistics
from pfq.files.capfile import CaptureFile
from pfq.files.decide import Decider, Task
from pfq.files.jobs import in_order
from pfq.files.known import known
from pfq.files.select import packets_at
from pfq.lang.action import COUNTERS

if TYPE_CHECKING:
    from pfq.engine.events import ProgramEvent
    from pfq.files.batch import Source


@dataclass(frozen=True, slots=True)
class Decided:
    """Packets in the order of a file, and the verdict on each.

    copies  packets for each end-point, of all that were decided with the same memory up to these
    """

    file: CaptureFile
    records: Records
    verdicts: Array
    copies: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Memory that it holds, about."""
        return self.records.array.nbytes + self.verdicts.nbytes + int(self.records.array["caplen"].sum(dtype=np.int64))

    def selected(self) -> Decided | None:
        """The packets that go to end-points; None when there are none."""
        chosen = np.flatnonzero(self.verdicts["endpoints"])
        if len(chosen) in (0, len(self.records)):
            return self if len(chosen) else None
        return Decided(self.file, packets_at(self.records, chosen), self.verdicts[chosen], self.copies)


class Keep(Enum):
    """Which packets are handed over."""

    ALL = "all"
    SELECTED = "selected"
    """those that go to end-points; others may be among them"""
    NONE = "none"
    """they are counted only"""


class Pipeline:
    """Files being read, and their packets decided.

    size     bytes of all files, None when one of them is no regular file
    comment  of the first file, as far as that is known before it is read
    """

    def __init__(self, task: Task, paths: Sequence[Source], jobs: int, keep: Keep, limit: int | None = None) -> None:
        """Looks into all files, and compiles the program.

        limit  nothing is decided behind the packet that is selected as the `limit`th; with jobs = 1 only
        """
        files = [known(path) for path in paths]
        self.size = None if None in files else sum(file.size for file in files if file)
        self.comment = files[0].comment if files[0] else ""
        self._task, self._paths, self._keep, self._limit = task, paths, keep, limit
        self._jobs = min(jobs, len(paths))
        self._group = task.group()
        self._deciders: dict[int, Decider] = {}
        self._handed: dict[int, tuple[int, ...]] = {}
        self._reached = 0
        self._open: dict[int, CaptureFile] = {}
        self._read_bytes = 0
        self._warnings: dict[int, list[str]] = {}
        self._work = self._in_turn() if self._jobs == 1 else self._at_once()

    def decided(self) -> Iterator[Decided | None]:
        """The packets to hand over; None now and then, when there are none just now."""
        return self._work

    def _in_turn(self) -> Generator[Decided | None, None, None]:
        """One memory for all files."""
        decider = self._deciders[0] = Decider(self._group, self._task.looks, self._limit)
        for number in range(len(self._paths)):
            self._reached = number
            for decided in self._read(number, decider):
                yield self._hand(0, decided)
            if decider.full:
                return

    def _at_once(self) -> Generator[Decided | None, None, None]:
        """A memory for each file."""
        sources = [partial(self._read_apart, number) for number in range(len(self._paths))]
        with closing(in_order(sources, self._jobs, attrgetter("nbytes"))) as items:
            for number, decided in items:
                self._reached = number
                yield self._hand(number, decided)

    def _hand(self, number: int, decided: Decided | None) -> Decided | None:
        if decided is not None:
            self._handed[number] = decided.copies
        return decided

    def _read_apart(self, number: int) -> Generator[Decided | None, None, None]:
        decider = self._deciders[number] = Decider(self._group.fresh(), self._task.looks)
        for decided in self._read(number, decider):
            yield decided and (decided.selected() if self._keep is Keep.SELECTED else decided)
        decider.finish()

    def _read(self, number: int, decider: Decider) -> Generator[Decided | None, None, None]:
        with CaptureFile(self._paths[number]) as file:
            self._open[number] = file
            decider.begin()
            try:
                for records in file.runs():
                    yield self._decide(decider, file, records)
                    if decider.full:
                        return
            finally:
                self._warnings[number] = file.warnings
                self._read_bytes += file.position
                del self._open[number]

    def _decide(self, decider: Decider, file: CaptureFile, records: Records) -> Decided | None:
        if self._keep is Keep.NONE:
            decider.count(file, records)
            return None
        records, verdicts = decider.decide(file, records)
        return Decided(file, records, verdicts, decider.copies())

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._read_bytes + sum(file.position for file in list(self._open.values()))

    @property
    def arrived(self) -> int:
        """Packets decided so far."""
        return sum(decider.arrived for decider in list(self._deciders.values()))

    @property
    def tells(self) -> bool:
        """Whether the program tells the user about packets."""
        return bool(self._group.plan.sites)

    def events(self) -> list[ProgramEvent]:
        """What the program told since the last call."""
        return [event for _, decider in self._begun() for event in decider.events()]

    def _begun(self) -> list[tuple[int, Decider]]:
        """The deciders of the files that were reached, in their order."""
        return [(number, self._deciders[number]) for number in range(self._reached + 1) if number in self._deciders]

    def statistics(self) -> CaptureStatistics:
        """The counters of the files that were reached."""
        counted = {number: decider.counted() for number, decider in self._begun()}
        endpoints = []
        for i in range(self._task.endpoints):
            copies = sum(each.copies[i] for each in counted.values())
            read = copies
            if self._keep is not Keep.NONE:
                read = sum(self._handed[number][i] for number in counted if number in self._handed)
            endpoints.append(EndpointStatistics(copies, copies, lost=0, read=read, waiting=copies - read))
        return CaptureStatistics((total([each.group for each in counted.values()]),), tuple(endpoints))

    def warnings(self) -> list[str]:
        """What was noticed in the files that were reached."""
        found = [warning for number in range(self._reached + 1) for warning in self._warnings.get(number, ())]
        unknown: Counter[int] = Counter()
        for _, decider in self._begun():
            unknown.update(decider.counted().unknown)
        for link_type, packets in sorted(unknown.items()):
            of = f"{packets} packet{'' if packets == 1 else 's'} of link type {link_type}"
            found.append(f"{of} could not be read as Ethernet or IP, and {'was' if packets == 1 else 'were'} filtered")
        return found

    def close(self) -> None:
        """Ends reading; the counters stay."""
        self._work.close()


def total(groups: Sequence[GroupStatistics]) -> GroupStatistics:
    """The sums of all counters."""
    found: dict[str, Any] = {
        field.name: sum(getattr(group, field.name) for group in groups)
        for field in fields(GroupStatistics)
        if field.name != "counters"
    }
    counters = tuple(map(sum, zip(*(group.counters for group in groups), strict=True))) or (0,) * COUNTERS
    return GroupStatistics(**found, counters=counters)
