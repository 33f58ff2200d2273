"""Packets of a capture file as columns, and reading files as batches of them."""

from __future__ import annotations

import builtins
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Final, Self, cast, overload

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.arrow import ArrowStream
from pfq.columns.exports import Streamed
from pfq.columns.packages import package
from pfq.columns.packets import PacketColumns
from pfq.columns.records import RECORD_DTYPE, Array, Records
from pfq.errors import UsageError
from pfq.files.capfile import CaptureFile
from pfq.layout import RECORD

if TYPE_CHECKING:
    import pandas

DATA_LIMIT: Final = 256 << 20
"""The most bytes of `FileBatch.data`."""

_DOCS: Final = {member.name: member.doc for member in RECORD}

Source = str | PathLike[str] | BinaryIO


def sources(paths: Source | Iterable[Source]) -> tuple[Source, ...]:
    """One file or several as several; a file object is one, though it can be iterated over.

    Raises UsageError for what is no file, and for none at all.
    """
    one = isinstance(paths, str | bytes | PathLike) or hasattr(paths, "read")
    try:
        found = (cast(Source, paths),) if one else tuple(cast(Iterable[Source], paths))
    except TypeError:  # nothing to iterate over
        found = (cast(Source, paths),)
    for path in found:
        if not isinstance(path, str | PathLike) and not hasattr(path, "read"):
            raise UsageError(f"{path!r} is no file to read", hint="give the name of one, or a file open for reading")
    if not found:
        raise UsageError("there is no file to read", hint="give one path, or a list of them")
    return found


def _is_read_once(path: str | PathLike[str]) -> bool:
    """Standard input, a pipe or the like: what was read of it is gone."""
    try:
        return path == "-" or not stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # no name of a file; opening it says why
        return False


class RecordColumn:
    """A field of the records of a batch."""

    def __init__(self, field: str, doc: str = "") -> None:
        self._field = field
        self.__doc__ = doc or _DOCS[field]

    @overload
    def __get__(self, batch: None, owner: type) -> Self: ...
    @overload
    def __get__(self, batch: FileBatch, owner: type) -> Array: ...
    def __get__(self, batch: FileBatch | None, owner: type) -> Array | Self:
        return self if batch is None else batch.records.array[self._field]


class GivenColumn:
    """A column that the maker of the batch gives; zeros when it does not."""

    def __init__(self, dtype: type[np.generic], doc: str) -> None:
        self._dtype = dtype
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, batch: None, owner: type) -> Self: ...
    @overload
    def __get__(self, batch: FileBatch, owner: type) -> Array: ...
    def __get__(self, batch: FileBatch | None, owner: type) -> Array | Self:
        if batch is None:
            return self
        if self._name not in batch.given:
            batch.given[self._name] = np.zeros(len(batch), self._dtype)
        return batch.given[self._name]


class FileBatch(PacketColumns):
    """Packets of a file in its order, which stay valid for as long as the batch lives.

    Each column is a one-dimensional array with an element for each packet; `src` and `dst` have rows of 16 bytes.

    records  the packets themselves, for native code
    given    columns that come with the packets, by name
    """

    ts_ns = RecordColumn("ts_ns")
    len = RecordColumn("len")
    caplen = RecordColumn("caplen", "bytes that the file has of the packet")
    interface = RecordColumn("interface", "number of the interface in the file, from 0")
    ifindex = RecordColumn("interface", "the same as `interface`")
    link_type = RecordColumn("link_type", "what the bytes begin with, a LINKTYPE number; 1 is Ethernet")
    mark = GivenColumn(np.uint32, "0: no program has run")
    state = GivenColumn(np.uint32, "0: no program has run")
    queue = GivenColumn(np.uint16, "0: files do not know it")
    group = GivenColumn(np.uint16, "0: no program has run")

    TABLE: ClassVar[tuple[str, ...]] = ("ts", "len", "caplen", "interface", *PacketColumns.HEADER_COLUMNS)
    MORE: ClassVar[tuple[str, ...]] = ("ifindex", "link_type", *PacketColumns.MORE)

    def __init__(self, records: Records, given: Mapping[str, Array] | None = None) -> None:
        self.records = records
        self.given = dict(given or {})

    def __len__(self) -> int:
        """Packets."""
        return len(self.records)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} packets>"

    def bytes(self, i: int) -> builtins.bytes:
        """The captured bytes of packet `i`, copied. Raises IndexError."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"packet {i} of a batch of {len(self)}")
        return self.records.bytes(i)

    @property
    def vlan_tci(self) -> Array:
        """Outer VLAN tag, 0 when untagged."""
        found: Array = self.headers["vlan_tci"]
        return found

    @property
    def data(self) -> Array:
        """Bytes of the packets, one row each, copied; each row is filled up with zeros to the longest.

        Raises UsageError when that is over 256 MiB.
        """
        width = int(self.caplen.max(initial=0))
        if len(self) * width > DATA_LIMIT:
            raise UsageError(
                f"`data` would be {len(self) * width >> 20} MiB: {len(self):,} rows of {width:,} bytes, "
                f"the length of the longest packet; the limit is {DATA_LIMIT >> 20} MiB",
                hint="take fewer packets, `batch.select(batch.caplen <= 2048).data`, or one by one, `batch.bytes(i)`",
            )
        rows = np.empty((len(self), width), np.uint8)
        given = ffi.cast("struct pfq_record *", self.records.address)
        lib.pfq_records_matrix(given, len(self), ffi.cast("uint8_t *", rows.ctypes.data), width)
        return rows

    def select(self, which: Array | slice) -> Self:
        """The batch of some of the packets: a mask of bools, numbers of packets, or a slice. Copies no packet."""
        chosen = type(self)(
            Records(self.records.array[which], self.records.keep),
            {name: column[which] for name, column in self.given.items()},
        )
        if "_headers" in self.__dict__:
            chosen.__dict__["_headers"] = self.headers[which]
        return chosen

    def _packets(self) -> Records:
        return self.records


class FileReader(Streamed):
    """Capture files as batches of packets, one file after the other; what `pfq.read` returns.

    Iterating reads the files from the start, each time anew:

        for batch in pfq.read("x.pcapng"):
            total += int(batch.len.sum())

    It is a table of Arrow as well, read piece by piece: `polars.DataFrame(pfq.read("x.pcapng"))`.
    """

    def __init__(self, paths: Source | Iterable[Source], *, columns: Iterable[str] | None = None) -> None:
        """paths:    one file or several: pcap or pcapng, also compressed; `-` is standard input
        columns:  those of the table, as for `FileBatch.to_arrow`
        Raises FileAccessError for a file that cannot be read, and UsageError for an unknown column. Iterating
        raises FileFormatError where a file is damaged, behind the last good packet.
        """
        self.paths = sources(paths)
        self.columns = FileBatch._names(columns)
        for path in self.paths:
            if isinstance(path, str | PathLike) and not _is_read_once(path):
                CaptureFile(path).close()

    def __iter__(self) -> Iterator[FileBatch]:
        for path in self.paths:
            with CaptureFile(path) as file:
                for records in file.runs():
                    yield FileBatch(records)

    def __repr__(self) -> str:
        return f"<FileReader of {', '.join(map(str, self.paths))}>"

    def to_arrow(self) -> ArrowStream:
        """All packets as a table, read while it is used: `pyarrow.table(reader.to_arrow())`."""
        return ArrowStream(_empty().to_arrow(self.columns), lambda: (batch.to_arrow(self.columns) for batch in self))

    def to_pandas(self) -> pandas.DataFrame:
        """All packets as a data frame of pandas. Raises MachineError when that is not installed."""
        frames = [batch.to_pandas(self.columns) for batch in self] or [_empty().to_pandas(self.columns)]
        joined: pandas.DataFrame = package("pandas", "pandas").concat(frames, ignore_index=True)
        return joined


def _empty() -> FileBatch:
    return FileBatch(Records(np.zeros(0, RECORD_DTYPE), None))
