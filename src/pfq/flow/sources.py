"""Where the packets of flows come from: capture files, or the rings of a live capture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from pfq.columns.records import Records
from pfq.errors import DeviceGoneError, RingClosedError
from pfq.files.batch import FileReader, Source
from pfq.files.capfile import CaptureFile

if TYPE_CHECKING:
    from pfq.files.pipeline import Pipeline
    from pfq.ring.reader import Reader

QUIET_S: Final = 0.2
"""Without packets for so long, a live source says so."""
NAP_S: Final = 0.01
"""Seconds to wait at one of several end-points before the others are looked at."""


class FileSource:
    """The packets of capture files, one file after the other.

    packets  read so far
    lost     0: what a file lacks, nobody counted
    """

    lost = 0

    def __init__(
        self,
        paths: Source | Iterable[Source],
        program: Any = None,
        filter: Any = None,
        vlans: Iterable[int] | None = None,
    ) -> None:
        """program, filter, vlans: as for `pfq.run`; None of them selects all packets.

        Raises what `pfq.run` and `pfq.read` raise.
        """
        self._paths = FileReader(paths).paths
        self._pipeline: Pipeline | None = None
        self._file: CaptureFile | None = None
        self._before = 0
        self._warnings: list[str] = []
        self.packets = 0
        if program is not None or filter is not None or vlans is not None:
            from pfq.files.pipeline import Keep, Pipeline
            from pfq.files.run import task_of

            self._pipeline = Pipeline(task_of(program, 1, filter, vlans), self._paths, 1, Keep.ALL)

    def runs(self) -> Iterator[Records]:
        """Runs of the packets that are selected."""
        return self._all() if self._pipeline is None else self._selected(self._pipeline)

    def _all(self) -> Iterator[Records]:
        for path in self._paths:
            with CaptureFile(path) as file:
                self._file = file
                for records in file.runs():
                    self.packets += len(records)
                    yield records
                self._before, self._file = self.position, None
                self._warnings += file.warnings

    def _selected(self, pipeline: Pipeline) -> Iterator[Records]:
        from pfq.lang.group import Outcome

        with closing(pipeline):
            for decided in pipeline.decided():
                if decided is not None:
                    self.packets += len(decided.records)
                    chosen = decided.verdicts["outcome"] == Outcome.SELECTED
                    yield Records(decided.records.array[chosen], decided.records)

    @property
    def warnings(self) -> list[str]:
        """Sentences about what was found in the files until now."""
        if self._pipeline is not None:
            return self._pipeline.warnings()
        return self._warnings + (self._file.warnings if self._file is not None else [])

    @property
    def position(self) -> int:
        """Bytes of the files read so far."""
        if self._pipeline is not None:
            return self._pipeline.position
        return self._before + (0 if self._file is None else self._file.position)

    @property
    def size(self) -> int | None:
        """Bytes of all files; None when nobody knows."""
        try:
            return sum(os.stat(path).st_size for path in self._paths if not hasattr(path, "read"))
        except OSError:
            return None


class LiveSource:
    """The packets of end-points, in turn.

    packets  read so far
    """

    def __init__(self, readers: Iterable[Reader]) -> None:
        self._readers = tuple(readers)
        self.packets = 0

    @property
    def lost(self) -> int:
        """Packets lost because a ring was full."""
        return sum(reader.statistics().lost for reader in self._readers)

    def runs(self) -> Iterator[Records | None]:
        """Runs of packets, each valid until the next one, and None when there are none for a while.

        Raises DeviceGoneError when the device is, once all packets are read.
        """
        reading = list(self._readers)
        gone: DeviceGoneError | None = None
        while reading:
            quiet = True
            for reader in tuple(reading):
                try:
                    batch = reader.read(timeout=QUIET_S if len(reading) == 1 else NAP_S)
                except (RingClosedError, DeviceGoneError) as error:
                    gone = error if isinstance(error, DeviceGoneError) else gone
                    reading.remove(reader)
                    continue
                if batch is not None:
                    quiet = False
                    self.packets += len(batch)
                    yield batch._packets()
            if quiet:
                yield None
        if gone is not None:
            raise gone
