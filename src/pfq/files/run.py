"""Running a program over capture files: the same decisions as in the kernel, with no privilege."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pfq.codegen.layouts import MAX_ENDPOINTS
from pfq.columns.records import Array
from pfq.engine.statistics import CaptureStatistics
from pfq.errors import UsageError
from pfq.files.batch import FileBatch, GivenColumn, Source, sources
from pfq.files.decide import Task
from pfq.files.pipeline import Decided, Keep, Pipeline
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.edsl import to_program
from pfq.lang.group import Outcome, vlan_filter
from pfq.lang.program import Chain

if TYPE_CHECKING:
    from pfq.engine.events import ProgramEvent

Paths = Source | Iterable[Source]


class RunBatch(FileBatch):
    """Packets of a file, and what was decided about each; packets that were not selected are among them."""

    outcome = GivenColumn(np.uint16, "0: rejected by the filters, 1: dropped by the program, 2: selected")
    endpoints = GivenColumn(np.uint64, "mask of the end-points that get the packet")
    mark = GivenColumn(np.uint32, "mark that the program left")
    state = GivenColumn(np.uint32, "state that the program left")
    kernel = GivenColumn(np.bool_, "whether the program passed the packet up to Linux")

    RESULTS: ClassVar[tuple[str, ...]] = ("outcome", "endpoints", "mark", "state", "kernel")
    TABLE: ClassVar[tuple[str, ...]] = (*FileBatch.TABLE, *RESULTS)

    @property
    def selected(self) -> Array:
        """A mask of the selected packets: `batch.select(batch.selected)` has nothing but these."""
        found: Array = self.outcome == Outcome.SELECTED
        return found


class Run:
    """The packets of files in batches, with what a program decides about them. Iterating goes on, once.

        with pfq.run("ip >-> steer_flow", "trace.pcapng", endpoints=4) as run:
            for batch in run:
                ...
            print(run.statistics())

    warnings  sentences about what was found in the files until now
    """

    def __init__(
        self,
        program: Any,
        paths: Paths,
        *,
        endpoints: int = 1,
        filter: Any = None,
        vlans: Iterable[int] | None = None,
        jobs: int = 1,
    ) -> None:
        """Compiles the program and opens the files.

        program    text, a Python expression of `pfq.lang`, or a typed program; None copies to all end-points
        paths      one file or several, which are one stream in this order: pcap or pcapng, also compressed;
                   `-` is standard input
        endpoints  how many, 1 to 64
        filter     a Berkeley filter for what the program shall see: an expression of pcap-filter(7),
                   `tcpdump -ddd` text, or (code, jt, jf, k) instructions
        vlans      ids of the VLANs that the program shall see; 0 is for untagged packets, -1 for all from 1 to 4094
        jobs       how many files are worked on at the same time. The order stays, but with more than one
                   what a program keeps from packet to packet begins anew in each file

        Packets of link types that cannot be looked into (not Ethernet, IP, Linux cooked or PPP) are filtered,
        unless there is neither program nor filter.

        Raises ProgramError, LiteralError (the filter), UsageError and FileAccessError; FileFormatError, too when
        iterating: then everything before the damage has been given and counted.
        """
        task = task_of(program, endpoints, filter, vlans)
        self._pipeline = Pipeline(task, sources(paths), jobs_of(jobs), Keep.ALL)
        self._decided = self._pipeline.decided()

    def __iter__(self) -> Iterator[RunBatch]:
        return (batch_of(decided) for decided in self._decided if decided is not None)

    @property
    def warnings(self) -> list[str]:
        return self._pipeline.warnings()

    def statistics(self) -> CaptureStatistics:
        """The counters now, those of a live capture: of packets that iterating has not given yet, selected copies
        are counted as `waiting`. Nothing is ever lost."""
        return self._pipeline.statistics()

    def events(self) -> list[ProgramEvent]:
        """What the program told by `log_msg`, `log_buff`, `log_packet` and `trace` since the last call: everything."""
        return self._pipeline.events()

    def close(self) -> None:
        """Ends reading and closes the files; the counters stay readable."""
        self._pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def batch_of(decided: Decided) -> RunBatch:
    given = {name: decided.verdicts[name] for name in RunBatch.RESULTS}
    return RunBatch(decided.records, given | {"kernel": given["kernel"] != 0})


def task_of(program: Any, endpoints: int, filter: Any, vlans: Iterable[int] | None) -> Task:
    """What is asked of every packet, when it makes sense."""
    if not isinstance(endpoints, int) or not 1 <= endpoints <= MAX_ENDPOINTS:
        raise UsageError(f"there are 1 to {MAX_ENDPOINTS} end-points, not {endpoints}")
    return Task(
        program=to_program(Chain() if program is None else program),
        filter=None if filter is None else BerkeleyFilter.of(filter),
        vlans=vlan_filter(vlans),
        endpoints=endpoints,
        looks=not (program is None and filter is None and vlans is None),
    )


def jobs_of(jobs: int) -> int:
    if not isinstance(jobs, int) or jobs < 1:
        raise UsageError(f"{jobs} files cannot be worked on at the same time", hint="jobs=2, for example")
    return jobs
