"""Packets on their way into a file: which of a run, and how many of them are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.records import RECORD_DTYPE, Array, Records

EVER: Final = 2**64 - 1


class RingBatch(Protocol):
    """What a writer needs of a batch of a ring."""

    def __len__(self) -> int: ...
    def as_struct(self) -> Any: ...


class Packets(ABC):
    """Packets to be written, `count` of them; the first `done` of them are."""

    def __init__(self, count: int) -> None:
        self.count, self.done = count, 0

    @abstractmethod
    def show(self, job: Any) -> None:
        """Tells a `struct pfq_write` where they are; this object must outlive its use."""

    @property
    @abstractmethod
    def next(self) -> Any:
        """The record that is to be written next."""


class RecordPackets(Packets):
    """Records, or those of them with the numbers `chosen`, uint32."""

    def __init__(self, records: Records, chosen: Array | None) -> None:
        super().__init__(len(records) if chosen is None else len(chosen))
        self._records, self._chosen = records, chosen

    def show(self, job: Any) -> None:
        job.batch, job.records = ffi.NULL, ffi.cast("struct pfq_record *", self._records.address)
        job.chosen = ffi.NULL if self._chosen is None else ffi.cast("uint32_t *", self._chosen.ctypes.data)

    @property
    def next(self) -> Any:
        return self._records.array[self.done if self._chosen is None else self._chosen[self.done]]


class BatchPackets(Packets):
    """All packets of a batch, as those of interface 0."""

    def __init__(self, batch: RingBatch) -> None:
        """Raises ViewExpiredError."""
        super().__init__(len(batch))
        self._struct = batch.as_struct()

    def show(self, job: Any) -> None:
        job.batch = self._struct

    @property
    def next(self) -> Any:
        run = self._struct
        slots = ffi.cast("char *", run.slots) + self.done * run.stride
        one = ffi.new("struct pfq_batch *", {"slots": slots, "count": 1, "stride": run.stride})
        array = np.empty(1, RECORD_DTYPE)
        lib.pfq_batch_records(one, ffi.cast("struct pfq_record *", array.ctypes.data))
        return array[0]


def of_records(records: Records, chosen: Array | None) -> Packets:
    """The packets of a run for which a mask is true, or with the numbers given. Raises IndexError."""
    if chosen is None:
        return RecordPackets(records, None)
    chosen = np.asarray(chosen)
    if chosen.dtype == np.bool_:
        if chosen.shape != (len(records),):
            raise IndexError(f"a mask of shape {chosen.shape} for {len(records)} packets")
        chosen = np.flatnonzero(chosen)
    elif len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(records)):
        raise IndexError(f"packets {chosen.min()} to {chosen.max()} of a run of {len(records)}")
    return RecordPackets(records, np.ascontiguousarray(chosen, np.uint32))


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a file ends: no packet begins after more than `size` bytes, none is younger than `last_ns`."""

    size: int = EVER
    last_ns: int = EVER


NO_LIMIT: Final = Limit()
