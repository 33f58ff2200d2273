"""A batch: packets in a row of one ring, as columns."""

from __future__ import annotations

import builtins
from types import TracebackType
from typing import Any, ClassVar, Self, overload

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.packets import PacketColumns
from pfq.columns.records import RECORD_DTYPE, Records
from pfq.errors import ViewExpiredError
from pfq.layout import SLOT
from pfq.ring.lease import Lease
from pfq.ring.memory import Array, RingMemory
from pfq.ring.view import View, guard

_DOCS = {member.name: member.doc for member in SLOT}


class Column:
    """One field of all packets of a batch; made at its first use, then kept in the batch."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, batch: None, owner: type) -> Self: ...
    @overload
    def __get__(self, batch: Batch, owner: type) -> View: ...
    def __get__(self, batch: Batch | None, owner: type) -> View | Self:
        if batch is None:
            return self
        view = batch._column(self._name)
        batch.__dict__[self._name] = view  # found there from now on, before this descriptor
        return view


class Batch(PacketColumns):
    """Packets of one ring, in the order of arrival, valid until the batch is released.

    Each column is a one-dimensional read-only array with an element for each packet, on the ring's
    own memory; `data` has a row for each packet. Reading the next batch releases this one.
    `with batch:` and `release()` do so earlier, which gives the slots back to the producer.
    Columns of decoded headers and tables are copies and stay.
    """

    ts_ns = Column(_DOCS["ts_ns"])
    len = Column(_DOCS["len"])
    caplen = Column("bytes captured, at most the snap length")
    ifindex = Column(_DOCS["ifindex"])
    mark = Column(_DOCS["mark"])
    state = Column(_DOCS["state"])
    queue = Column(_DOCS["queue"])
    vlan_tci = Column(_DOCS["vlan_tci"])
    group = Column(_DOCS["group"])
    data = Column("bytes of the frames, one row each; what lies beyond `caplen` in a row means nothing")

    TABLE: ClassVar[tuple[str, ...]] = (
        *("ts", "len", "caplen", "ifindex", "mark", "state"),
        *PacketColumns.HEADER_COLUMNS,
    )

    def __init__(self, memory: RingMemory, lease: Lease) -> None:
        self._memory = memory
        self._lease = lease
        self._root: Array | None = None

    @property
    def ring(self) -> int:
        """The ring, that is the CPU, that the packets came through."""
        return self._lease.ring

    @property
    def first(self) -> int:
        """Running number of the first packet in its ring, from 0."""
        return self._lease.first

    @property
    def released(self) -> bool:
        return self._lease.expired

    def __len__(self) -> int:
        """Packets."""
        return self._lease.upto - self._lease.first

    def bytes(self, i: int) -> builtins.bytes:
        """The captured bytes of packet `i`, copied. Raises IndexError, or ViewExpiredError when released."""
        lease = self._lease
        number = (lease.first if i >= 0 else lease.upto) + i
        if not lease.first <= number < lease.upto:
            raise IndexError(f"packet {i} of a batch of {len(self)}")
        self._check()
        return self._memory.frame(number)

    def as_struct(self) -> Any:
        """The batch as libpfq's `struct pfq_batch *`; it must not be used after the release."""
        self._check()
        return self._memory.run(self._lease.first, len(self))

    def release(self) -> None:
        """Ends the batch: its views raise from now on, and its slots go back to the producer."""
        lease = self._lease
        if not lease.expired:
            lease.expire()
            self.__dict__ = {"_lease": lease}  # drops the columns, their root and the memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "released" if self.released else f"from packet {self.first}"
        return f"<Batch of {len(self)} packets, ring {self.ring}, {state}>"

    def _check(self) -> None:
        if self._lease.expired:
            raise ViewExpiredError("this batch was released", hint="copy what you keep before reading on")

    def _packets(self) -> Records:
        """The packets where they lie in the ring; not to be used after the release."""
        array = np.empty(len(self), RECORD_DTYPE)
        lib.pfq_batch_records(self.as_struct(), ffi.cast("struct pfq_record *", array.ctypes.data))
        return Records(array, self._memory)

    def _kept_packets(self) -> Records:
        return self._packets().copy()

    def _kept_column(self, name: str) -> Array:
        return np.array(getattr(self, name))

    def _column(self, name: str) -> View:
        self._check()
        lease = self._lease
        if self._root is None:
            self._root = self._memory.records(lease.first, lease.upto - lease.first)
            lease.watch(self._root)
        return guard(self._root[name], lease)
