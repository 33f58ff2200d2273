"""Writing pcapng files."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.errors import InternalError, PfqError
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing import blocks
from pfq.files.writing.base import ETHERNET, FileWriter, Losses


class PcapngWriter(FileWriter):
    """A pcapng file. Its times are in ns, and each interface of the sources is declared in it."""

    def __init__(self, path: str, interfaces: Sequence[Interface] = (), *, comment: str = "") -> None:
        """Creates the file, or empties it; `-` is standard output.

        comment: on the file as a whole
        Raises FileAccessError when it cannot be created, OutputError when it cannot be written.
        """
        super().__init__(path, interfaces)
        self._began_ns = time.time_ns()
        self._declared: list[Interface] = []
        self._numbers: list[int] = []
        self._counted: dict[int, InterfaceStatistics] = {}
        self._send(blocks.section(comment))
        self._prepare()

    def source(self, interfaces: Sequence[Interface]) -> None:
        self._interfaces, self._numbers = interfaces, []
        self._prepare()

    def count(self, interface: int, counted: InterfaceStatistics) -> None:
        self._prepare()
        self._counted[self._numbers[interface]] = counted

    def _prepare(self) -> None:
        """Declares the interfaces that were found since the last time.

        One that was declared for a former source is not declared again; two of one source stay two.
        """
        if len(self._numbers) == len(self._interfaces):
            return
        taken = set(self._numbers)
        for described in self._interfaces[len(self._numbers) :]:
            known = (i for i, other in enumerate(self._declared) if i not in taken and _same(other, described))
            number = next(known, len(self._declared))
            if number == len(self._declared):
                self._send(blocks.interface(described))
                self._declared.append(described)
            taken.add(number)
            self._numbers.append(number)
        self._table = np.array(self._numbers, np.uint32)
        self._job.interfaces = ffi.cast("uint32_t *", self._table.ctypes.data)
        self._job.interface_count = len(self._table)

    def _finish(self, losses: Losses | None) -> None:
        if not self._declared:
            self._send(blocks.interface(Interface(number=0, link_type=ETHERNET, snaplen=0)))
        began, now = None, time.time_ns()
        if losses is not None:
            received = losses.delivered + losses.lost
            self._counted[0] = InterfaceStatistics(received, None, None, losses.lost, self.packets)
            began = self._began_ns
        for number, counted in sorted(self._counted.items()):
            self._send(blocks.statistics(number, counted, began, now))

    def _format(self, job: Any) -> int:
        return int(lib.pfq_write_pcapng(job))

    def _size(self, data: bytes, at: int) -> int | None:
        return int(struct.unpack_from("<I", data, at + 4)[0]) if at + 8 <= len(data) else None

    def _refusal(self, record: Any) -> PfqError:
        return InternalError(f"a packet of interface {record['interface']}, of {len(self._numbers)} known")


def _same(one: Interface, other: Interface) -> bool:
    """Whether two sources mean the same interface."""
    return replace(one, number=0) == replace(other, number=0)
