"""A row of files instead of one: a new one by size, by time, or both, named as tcpdump names them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pfq.errors import UsageError
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing.base import FileWriter, Losses, PacketWriter
from pfq.files.writing.output import STANDARD_OUTPUT
from pfq.files.writing.packets import EVER, Limit, Packets
from pfq.files.writing.pcap import PcapWriter
from pfq.files.writing.pcapng import PcapngWriter

_SECOND_NS = 1_000_000_000

Make = Callable[[str, Sequence[Interface]], FileWriter]


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is closed and the next one begun; None: never for that reason.

    size     bytes: when a file is larger, the next packet begins another
    seconds  so long after the first second of a file, the next packet begins another
    count    files: with `size` the first is then overwritten, with `seconds` alone no more are written
    """

    size: int | None = None
    seconds: int | None = None
    count: int | None = None

    def name(self, path: str, number: int, second: int) -> str:
        """Name of file `number`, from 0, of those whose time begins at `second` (since 1970).

        With `seconds` the path is one of strftime, in local time. With `size` a number follows: from 1 on,
        or with `count` from 0 on with as many digits as the last one has.
        """
        name = path if self.seconds is None else time.strftime(path, time.localtime(second))
        digits = len(str(self.count - 1)) if self.size is not None and self.count not in (None, 1) else 0
        return name if not digits and not number else f"{name}{number:0{digits}d}"


class RotatingWriter(PacketWriter):
    """Writes one file after the other; each is complete by itself, and no packet is split.

    Time is that of the packets, and goes forward only: one that is older than its file belongs to it all the same.
    """

    def __init__(
        self,
        make: Make,
        path: str,
        rotation: Rotation,
        interfaces: Sequence[Interface] = (),
        losses: Callable[[], Losses] | None = None,
    ) -> None:
        """Creates the first file; with `rotation.seconds` only when there is a packet, whose time names it.

        make    opens a writer of a path for packets of some interfaces
        losses  of a live capture so far. With it the first file begins now, and packets without a time are
                of the time when they are written
        Raises as `make` does, UsageError when `path` is standard output.
        """
        if path == STANDARD_OUTPUT:
            raise UsageError("standard output is one file", hint="name a file for -w, or leave out -C and -G")
        self._make, self._path, self._rotation, self._losses = make, path, rotation, losses
        self._interfaces = interfaces
        self._number = self._periods = 0
        self._second: int | None = None  # when the period began, since 1970
        self._told = _Told(0, 0)
        self._file: FileWriter | None = None
        self._over = False  # there is no file to close, and there shall be none
        if rotation.seconds is None or losses is not None:
            self._begin(time.time_ns())

    def source(self, interfaces: Sequence[Interface]) -> None:
        self._interfaces = interfaces
        if self._file is not None:
            self._file.source(interfaces)

    def count(self, interface: int, counted: InterfaceStatistics) -> None:
        if self._file is not None:
            self._file.count(interface, counted)

    def close(self, losses: Losses | None = None) -> None:
        if self._over:
            return
        file = self._file or self._begin(time.time_ns())
        file.close(losses and self._since_told(losses))

    def _take(self, packets: Packets) -> None:
        while packets.done < packets.count and not self.full:
            ts_ns = self._time(packets)
            file = self._file or self._begin(ts_ns)
            before = file.packets
            try:
                if ts_ns <= self._last_ns:
                    file.put(packets, Limit(self._rotation.size or EVER, self._last_ns))
            finally:
                self.packets += file.packets - before
            if packets.done < packets.count:
                self._turn(self._time(packets))

    def _time(self, packets: Packets) -> int:
        """Time of the next packet."""
        return int(packets.next["ts_ns"]) or (time.time_ns() if self._losses else 0)

    @property
    def _last_ns(self) -> int:
        """Time of the youngest packet that may be in the file."""
        seconds = self._rotation.seconds
        return EVER if seconds is None or self._second is None else (self._second + seconds) * _SECOND_NS - 1

    def _begin(self, ts_ns: int) -> FileWriter:
        """Opens the file whose turn it is; `ts_ns` is the time when it is the first of its period."""
        if self._second is None:
            self._second = ts_ns // _SECOND_NS
        name = self._rotation.name(self._path, self._number, self._second)
        self._over = True
        self._file = self._make(name, self._interfaces)
        self._over = False
        return self._file

    def _turn(self, ts_ns: int) -> None:
        """Ends the file before a packet of that time, which does not belong there."""
        assert self._file is not None
        self._file.close(self._losses and self._since_told(self._losses()))
        self._file = None
        size, count = self._rotation.size, self._rotation.count
        if ts_ns > self._last_ns:
            self._periods += 1
            self._number, self._second = 0, None
            self.full = self._over = size is None and count is not None and self._periods >= count
        else:
            self._number = (self._number + 1) % (count or EVER)

    def _since_told(self, losses: Losses) -> Losses:
        """What was counted since the file before was closed."""
        now, before = _Told(losses.delivered, losses.lost), self._told
        self._told = now
        return _Told(now.delivered - before.delivered, now.lost - before.lost)


@dataclass(frozen=True, slots=True)
class _Told:
    """Counts as the last file told them."""

    delivered: int
    lost: int


def open_writer(
    path: str,
    interfaces: Sequence[Interface] = (),
    *,
    pcap: bool = False,
    rotation: Rotation | None = None,
    comment: str = "",
    losses: Callable[[], Losses] | None = None,
) -> PacketWriter:
    """A writer of pcapng or classic pcap files; the parameters are those of the classes in this package."""

    def make(path: str, interfaces: Sequence[Interface]) -> FileWriter:
        return PcapWriter(path, interfaces) if pcap else PcapngWriter(path, interfaces, comment=comment)

    if rotation is None:
        return make(path, interfaces)
    return RotatingWriter(make, path, rotation, interfaces, losses)
