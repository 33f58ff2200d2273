"""What batches of every source have: columns of decoded headers, and ways out to data frames and scapy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, overload

import numpy as np

from pfq.columns.arrow import ArrowTable, Column, Nullable
from pfq.columns.ethernet import as_ethernet
from pfq.columns.exports import Tabular, pandas_frame, polars_frame
from pfq.columns.headers import decode
from pfq.columns.packages import package
from pfq.columns.records import Array, Records
from pfq.errors import UsageError
from pfq.lang.packet import TCP
from pfq.layout import HAS_ETHER_TYPE, HAS_FLOW_HASH, HAS_PORTS, HAS_PROTO, HAS_TAG, HEADERS
from pfq.source import did_you_mean

if TYPE_CHECKING:
    import pandas
    import polars

_DOCS: Final = {member.name: member.doc for member in HEADERS}
_BITS: Final = {
    "flow_hash": HAS_FLOW_HASH,
    "src_port": HAS_PORTS,
    "dst_port": HAS_PORTS,
    "payload_offset": HAS_PORTS,
    "payload_len": HAS_PORTS,
    "ether_type": HAS_ETHER_TYPE,
    "vlan": HAS_TAG,
    "proto": HAS_PROTO,
}
"""Which bit of `has` says that a packet has the field."""
_OF_IP: Final = ("src", "dst", "ip_version", "ttl", "tos")
TIMES: Final = 1 << 63
"""The first time, in ns since 1970, that data frames cannot hold."""


class HeaderColumn:
    """One decoded field of all packets of a batch; the headers are read when the first of them is used."""

    def __init__(self) -> None:
        self.__doc__: str | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = _DOCS[name]

    @overload
    def __get__(self, batch: None, owner: type) -> Self: ...
    @overload
    def __get__(self, batch: PacketColumns, owner: type) -> Array: ...
    def __get__(self, batch: PacketColumns | None, owner: type) -> Array | Self:
        if batch is None:
            return self
        column: Array = batch.headers[self._name]
        if self._name == "is_fragment":
            column = column.view(np.bool_)
        batch.__dict__[self._name] = column  # found there from now on, before this descriptor
        return column


class PacketColumns(Tabular):
    """Packets as columns; a column of headers has 0 for packets that do not have the field.

    Headers mean what they mean in pfq-lang. They are read for all packets of the batch at once, when the first such
    column is used, into memory of their own: these columns stay valid whatever becomes of the packets.
    """

    src = HeaderColumn()
    dst = HeaderColumn()
    src_port = HeaderColumn()
    dst_port = HeaderColumn()
    proto = HeaderColumn()
    ip_version = HeaderColumn()
    ttl = HeaderColumn()
    tos = HeaderColumn()
    tcp_flags = HeaderColumn()
    ether_type = HeaderColumn()
    vlan = HeaderColumn()
    flow_hash = HeaderColumn()
    payload_offset = HeaderColumn()
    payload_len = HeaderColumn()
    is_fragment = HeaderColumn()

    HEADER_COLUMNS: ClassVar[tuple[str, ...]] = (
        *("src", "dst", "src_port", "dst_port", "proto", "ip_version", "ttl", "tos", "tcp_flags"),
        *("ether_type", "vlan", "flow_hash", "payload_len", "is_fragment"),
    )
    TABLE: ClassVar[tuple[str, ...]] = ("ts", "len", "caplen", "ifindex", *HEADER_COLUMNS)
    """The columns of a table, unless others are asked for."""
    MORE: ClassVar[tuple[str, ...]] = ("ts_ns", "vlan_tci", "payload_offset", "mark", "state", "queue", "group", "data")
    """Those that can be asked for as well."""

    def _packets(self) -> Records:
        """The packets as records, whose bytes stay for as long as the batch is valid."""
        raise NotImplementedError

    def _kept_packets(self) -> Records:
        """The same, whose bytes stay for as long as the records."""
        return self._packets()

    def _kept_column(self, name: str) -> Array:
        """A column that stays as it is."""
        return np.asarray(getattr(self, name))

    @property
    def headers(self) -> Array:
        """All decoded fields, a structure of 64 bytes for each packet."""
        found: Array | None = self.__dict__.get("_headers")
        if found is None:
            packets = self._packets()
            frames = as_ethernet(packets)
            found = decode(frames)
            if frames is not packets:  # offsets are those in the packet as it is
                own_header = packets.array["caplen"] - frames.array["caplen"]
                found["payload_offset"] += np.where(found["has"] & HAS_PORTS, own_header, 0).astype(np.uint16)
            found.flags.writeable = False
            self.__dict__["_headers"] = found
        return found

    # tables

    def to_arrow(self, columns: Iterable[str] | None = None) -> ArrowTable:
        """A table for any package that speaks Arrow: `polars.DataFrame(table)`, `pyarrow.table(table)`.

        columns  the names of columns of the batch; also `ts`, the time as a timestamp, and `data`, the captured
                 bytes. By default those in `TABLE`, to which `data` does not belong.
        A field that a packet does not have is missing (null). Raises UsageError for an unknown name.
        """
        names = self._names(columns)
        return ArrowTable({name: self._exported(name) for name in names})

    def to_polars(self, columns: Iterable[str] | None = None) -> polars.DataFrame:
        """The batch as a data frame of Polars. Raises MachineError when that is not installed."""
        return polars_frame(self.to_arrow(columns))

    def to_pandas(self, columns: Iterable[str] | None = None) -> pandas.DataFrame:
        """The batch as a data frame of pandas. Raises MachineError when that is not installed."""
        return pandas_frame({name: self._exported(name) for name in self._names(columns)})

    def scapy(self, i: int) -> Any:
        """Packet `i` as a packet of scapy, with its time. Raises IndexError, and MachineError without scapy."""
        package("scapy", "scapy")
        from pfq.columns.dissected import dissected

        records = self._packets()
        if not -len(records) <= i < len(records):
            raise IndexError(f"packet {i} of a batch of {len(records)}")
        return dissected(records.array[i], records.bytes(i))

    @classmethod
    def _names(cls, columns: Iterable[str] | None) -> Sequence[str]:
        if columns is None:
            return cls.TABLE
        names = (columns,) if isinstance(columns, str) else tuple(columns)
        if not names:
            raise UsageError("a table without a column", hint="name some, or leave `columns` out for the usual ones")
        known = tuple(dict.fromkeys((*cls.TABLE, *cls.MORE)))
        for name in names:
            if name not in known:
                raise UsageError(f"packets have no column `{name}`", hint=did_you_mean(name, known) or ", ".join(known))
        return names

    def _exported(self, name: str) -> Column:
        """A column as tables have it."""
        if name == "ts":
            stamps = self._kept_column("ts_ns")
            return Nullable(stamps.view("M8[ns]"), (stamps != 0) & (stamps < TIMES))
        if name == "data":
            return self._kept_packets()
        values = self._kept_column(name)
        if name in _BITS:
            return Nullable(values, self.headers["has"] & _BITS[name] != 0)
        if name in _OF_IP:
            return Nullable(values, self.headers["ip_version"] != 0)
        if name == "tcp_flags":
            return Nullable(values, (self.headers["proto"] == TCP) & (self.headers["has"] & HAS_PORTS != 0))
        return values
