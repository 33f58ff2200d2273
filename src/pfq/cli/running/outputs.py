"""Where the packets go that `pfq run` selects. An output takes batches and counts the packets it took."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pfq.errors import FileAccessError, UsageError
from pfq.files.source import STDIN

if TYPE_CHECKING:
    from pfq.files.capfile import CaptureFile
    from pfq.files.pipeline import Decided
    from pfq.files.writing import PacketWriter


class Output(ABC):
    """packets: taken so far; full: no more are wanted."""

    packets = 0
    full = False

    @abstractmethod
    def take(self, batch: Decided) -> None:
        """Takes the packets that go to end-points."""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """No more packets will come."""


class Nowhere(Output):
    """For those who want counts only."""

    def take(self, batch: Decided) -> None:
        """They are counted already."""


class FileOutput(Output):
    """A writer that takes what goes to any of the end-points."""

    def __init__(self, writer: PacketWriter) -> None:
        self._writer = writer
        self._told = ToldSources([writer])

    def take(self, batch: Decided) -> None:
        self._told.source(batch.file)
        chosen = batch.verdicts["endpoints"] != 0
        try:
            self._writer.write_records(batch.records, None if chosen.all() else chosen)
        finally:
            self.packets, self.full = self._writer.packets, self._writer.full

    def close(self) -> None:
        try:
            self._told.finish()
        finally:
            self._writer.close()


class SplitOutput(Output):
    """A writer for each end-point."""

    def __init__(self, writers: Sequence[PacketWriter]) -> None:
        self._writers = writers
        self._told = ToldSources(writers)

    def take(self, batch: Decided) -> None:
        self._told.source(batch.file)
        masks = np.ascontiguousarray(batch.verdicts["endpoints"])
        taken = np.zeros(len(masks), np.bool_)
        try:
            for number, writer in enumerate(self._writers):
                chosen = masks & np.uint64(1 << number) != 0
                before = writer.packets
                try:
                    writer.write_records(batch.records, chosen)
                finally:
                    taken[np.flatnonzero(chosen)[: writer.packets - before]] = True
        finally:
            self.packets += int(np.count_nonzero(taken))
        self.full = all(writer.full for writer in self._writers)

    def close(self) -> None:
        """All of them, whatever happens to one."""
        errors = []
        for end in (self._told.finish, *(writer.close for writer in self._writers)):
            try:
                end()
            except Exception as error:  # raised below, when the others are closed
                errors.append(error)
        if errors:
            raise errors[0]


class ToldSources:
    """Tells writers from which file packets come, and at its end what its interfaces lost."""

    def __init__(self, writers: Sequence[PacketWriter]) -> None:
        self._writers = writers
        self._file: CaptureFile | None = None

    def source(self, file: CaptureFile) -> None:
        """Packets of this file follow."""
        if file is not self._file:
            self.finish()
            self._file = file
            for writer in self._writers:
                writer.source(file.interfaces)

    def finish(self) -> None:
        """The last file has no more packets."""
        if self._file is None:
            return
        for number, found in self._file.statistics.items():
            counts = replace(found, delivered=None)  # to whoever wrote that file; ours has other packets
            for writer in self._writers:
                writer.count(number, counts)


def split_paths(folder: str, endpoints: int, suffix: str) -> list[str]:
    """A file in the folder for each end-point, the folder made when it is missing."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"cannot create {folder}: {error.strerror}", hint="name a folder for --split") from None
    digits = len(str(endpoints - 1))
    return [os.path.join(folder, f"{number:0{digits}}.{suffix}") for number in range(endpoints)]


def refuse_overwriting(inputs: Sequence[str], outputs: Sequence[str], rotating: bool) -> None:
    """Raises UsageError when a file that is read would be written.

    rotating  outputs are beginnings of names; what follows is a number, or what strftime makes of it
    """
    for source in inputs:
        for output in outputs:
            if _is_same(source, output) or (rotating and _begins(source, output)):
                raise UsageError(f"{source} is read and would be written", hint="write to another file")


def _is_same(source: str, output: str) -> bool:
    try:
        read, written = os.stat(0 if source == STDIN else source), os.stat(output)
    except OSError:
        return False  # one of them does not exist
    return os.path.samestat(read, written) and stat.S_ISREG(read.st_mode)


def _begins(source: str, output: str) -> bool:
    return os.path.realpath(source).startswith(os.path.realpath(output.partition("%")[0]))
