"""Flows that have ended, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.arrow import ArrowTable, Column, Nullable
from pfq.columns.exports import Tabular, pandas_frame
from pfq.columns.packets import TIMES
from pfq.columns.records import Array

if TYPE_CHECKING:
    import pandas

_SIMPLE: Final = {"uint8_t": "u1", "uint16_t": "<u2", "uint32_t": "<u4", "uint64_t": "<u8"}

END_REASONS: Final = {
    lib.PFQ_FLOW_IDLE: "idle",
    lib.PFQ_FLOW_ACTIVE: "active",
    lib.PFQ_FLOW_CLOSED: "closed",
    lib.PFQ_FLOW_END: "end",
    lib.PFQ_FLOW_FULL: "full",
}
"""Words for the numbers in the column `end_reason`."""
_WORDS: Final = np.array([END_REASONS.get(number, "") for number in range(max(END_REASONS) + 1)], "S")

TABLE: Final = (
    *("first", "last", "src", "src_port", "dst", "dst_port", "proto", "ip_version", "interface"),
    *("packets", "packets_back", "bytes", "bytes_back", "tcp_flags", "tcp_flags_back", "end_reason"),
)
"""The columns of tables: those of a batch, but times as timestamps and the end reason as a word."""


def _flow_dtype() -> np.dtype[Any]:
    """`struct pfq_flow` of libpfq."""
    fields = [(name, field) for name, field in ffi.typeof("struct pfq_flow").fields if name != "reserved"]
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [
                (_SIMPLE[field.type.item.cname], (field.type.length,))
                if field.type.kind == "array"
                else _SIMPLE[field.type.cname]
                for _, field in fields
            ],
            "offsets": [field.offset for _, field in fields],
            "itemsize": ffi.sizeof("struct pfq_flow"),
        }
    )


FLOW_DTYPE: Final = _flow_dtype()


class FlowColumn:
    """One field of all flows of a batch, as an array with an element for each."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, batch: FlowBatch | None, owner: type) -> Any:
        return self if batch is None else batch.array[self._name]


class FlowBatch(Tabular):
    """Flows in the order in which they ended. Who sent the first packet of a flow is `src`.

    array  the flows as one structured array of `FLOW_DTYPE`; the columns are views of it
    """

    src = FlowColumn("address of who sent the first packet, 16 bytes each; IPv4 as ::ffff:a.b.c.d")
    dst = FlowColumn("address of the other one")
    src_port = FlowColumn("port of TCP or UDP, otherwise 0")
    dst_port = FlowColumn("port of TCP or UDP, otherwise 0")
    proto = FlowColumn("protocol behind the IP header and its extensions")
    ip_version = FlowColumn("4 or 6")
    interface = FlowColumn("that the first packet came from: its number in the file, or the index of the device")
    first_ns = FlowColumn("time of the earliest packet, ns since 1970")
    last_ns = FlowColumn("time of the latest packet, ns since 1970")
    packets = FlowColumn("packets from `src` to `dst`")
    packets_back = FlowColumn("packets from `dst` to `src`")
    bytes = FlowColumn("bytes on the wire from `src` to `dst`, link-level headers included")
    bytes_back = FlowColumn("bytes on the wire from `dst` to `src`")
    tcp_flags = FlowColumn("all TCP flags that `src` has sent, from CWR (0x80) down to FIN (0x01)")
    tcp_flags_back = FlowColumn("all TCP flags that `dst` has sent")
    end_reason = FlowColumn("why the flow ended: a number of IPFIX, `END_REASONS` has the words")

    def __init__(self, array: Array) -> None:
        self.array = array

    def __len__(self) -> int:
        """Flows."""
        return len(self.array)

    def __repr__(self) -> str:
        return f"<FlowBatch of {len(self)} flows>"

    @property
    def end_words(self) -> list[str]:
        """Why the flows ended: idle, active, closed, end or full."""
        return [END_REASONS[number] for number in self.end_reason.tolist()]

    def to_arrow(self) -> ArrowTable:
        """A table for any package that speaks Arrow: `polars.DataFrame(table)`, `pyarrow.table(table)`."""
        return ArrowTable({name: self._exported(name) for name in TABLE})

    def to_pandas(self) -> pandas.DataFrame:
        """The flows as a data frame of pandas. Raises MachineError when that is not installed."""
        return pandas_frame({name: self._exported(name) for name in TABLE})

    def _exported(self, name: str) -> Column:
        """A column as tables have it; a time that is not known is missing."""
        if name == "end_reason":
            words: Array = _WORDS[self.end_reason]
            return words
        if name in ("first", "last"):
            stamps: Array = self.array[f"{name}_ns"]
            return Nullable(stamps.astype("M8[ns]"), (stamps != 0) & (stamps < TIMES))
        column: Array = self.array[name]
        return column


def joined(pieces: Sequence[Array]) -> FlowBatch:
    """Arrays of flows as one batch."""
    if len(pieces) == 1:
        return FlowBatch(pieces[0])
    return FlowBatch(np.concatenate(pieces) if pieces else np.empty(0, FLOW_DTYPE))
