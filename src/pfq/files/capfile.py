"""A capture file that is being read, pcap or pcapng, in runs of packets."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from os import PathLike
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.records import RECORD_DTYPE, Array, Records
from pfq.errors import FileFormatError, LimitError, UsageError
from pfq.files.chunks import Chunk, chunks
from pfq.files.interface import Interface, InterfaceStatistics, Section, interface_of, section_of, statistics_of
from pfq.files.pool import Pool
from pfq.files.source import Source

__all__ = ["CaptureFile", "Interface", "InterfaceStatistics", "Section"]

RUN_PACKETS: Final = 1 << 14
"""Packets in a run at most."""
_FORMATS: Final = (None, "pcap", "pcapng")
_NO_BYTES: Final = np.empty(0, np.uint8)


class CaptureFile:
    """Reads a file front to back, once. Use it with `with`, or call `close`.

        with CaptureFile("x.pcapng.zst") as file:
            for records in file.runs():
                ...

    Files may be compressed with gzip, zstd or lz4. The records' `interface` is an index of `interfaces`.
    Their times are ns since 1970: earlier ones are 0, and those beyond 64 bits, in the year 2554, the largest number.
    A packet may have more captured bytes than its length on the wire, or than the snap length, if the file says so.
    """

    def __init__(self, path: str | PathLike[str] | BinaryIO) -> None:
        """path: a name, `-` for standard input, or a file open for reading bytes.

        Raises FileAccessError when it cannot be opened or read; FileFormatError, with the offset, when it
        is not a capture file.
        """
        self._source = Source(path)
        self._chunks = chunks(self._source)
        self._parser = _new_parser()
        self._rest = Chunk(_NO_BYTES, 0, 0)
        self._base = 0
        self._used = ffi.new("size_t *")
        self._known = ffi.new("struct pfq_file_info *")
        self._pool = Pool(lambda: np.empty(RUN_PACKETS, RECORD_DTYPE))
        self._interfaces: list[Interface] = []
        self._is_open = True
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def path(self) -> str:
        return self._source.path

    @property
    def format(self) -> str:
        """`pcap` or `pcapng`."""
        return _FORMATS[self._info().format] or ""

    @property
    def size(self) -> int | None:
        """Bytes of the file, as compressed as it is; None for a pipe."""
        return self._source.size

    @property
    def position(self) -> int:
        """Bytes read of it so far, which is up to some MiB ahead of the packets."""
        return self._source.position

    @property
    def interfaces(self) -> list[Interface]:
        """Those met so far; the list grows while the file is read, and has those of a run when the run is given."""
        return self._interfaces

    @property
    def statistics(self) -> dict[int, InterfaceStatistics]:
        """The counters in the file, by the number of the interface, as far as it was read: most come at the end."""
        found = ((number, statistics_of(self._told(number))) for number in range(len(self._interfaces)))
        return {number: counts for number, counts in found if counts}

    @property
    def section(self) -> Section:
        """What a pcapng file says of itself."""
        return section_of(self._info())

    @property
    def warnings(self) -> list[str]:
        """What was met so far and not understood, or not kept."""
        info = self._info()
        found = []
        if info.skipped:
            what = f"blocks of unknown types skipped: {info.skipped}"
            found.append(f"{self.path}: {what}, the first, of type {info.skipped_type:#x}, at offset {info.skipped_at}")
        if info.options_lost:
            found.append(f"{self.path}: names and comments of some interfaces were not kept, there are too many")
        return found

    def runs(self) -> Iterator[Records]:
        """The packets that were not read yet, in runs of some thousand, in the order of the file.

        A run stays as it is as long as someone refers to it. Raises FileFormatError, with the offset, where the
        file is damaged or ends too early, and FileAccessError: every packet before that has been given by then.
        """
        while True:
            if not self._is_open:
                raise UsageError(f"{self.path}: the file was closed", hint="read it inside of `with`")
            if records := self._parse(RUN_PACKETS):
                yield records
            elif not self._read_on():
                break
        self._check(lib.pfq_file_finish(self._parser, self._rest.end - self._rest.start))

    def close(self) -> None:
        """Ends reading; runs that were given stay valid."""
        self._is_open = False
        self._chunks.close()
        self._source.close()

    def _begin(self) -> None:
        """Reads up to where the format is known."""
        while not self._info().format:
            if not self._read_on():
                self._check(lib.pfq_file_finish(self._parser, self._rest.end - self._rest.start))
            self._parse(0)

    def _parse(self, most: int) -> Records | None:
        array, start, end = self._rest
        records = self._pool.take()
        count = lib.pfq_file_parse(
            self._parser,
            ffi.cast("void *", self._base + start),
            end - start,
            ffi.cast("struct pfq_record *", records.ctypes.data),
            most,
            self._used,
        )
        self._rest = Chunk(array, start + self._used[0], end)
        self._know_interfaces()
        self._check(count)
        if count == 0:
            return None
        run = records[:count]
        return Records(run.copy() if count < RUN_PACKETS // 8 else run, array)

    def _read_on(self) -> bool:
        """Reads what the next packet needs, behind what is left. False at the end of the file."""
        array, start, end = self._rest
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        left = end - start
        if left + chunk.end - chunk.start < lib.pfq_file_wanted(self._parser) or left > chunk.start:
            chunk = self._join(array[start:end], chunk)
        else:
            chunk.array[chunk.start - left : chunk.start] = array[start:end]
            chunk = Chunk(chunk.array, chunk.start - left, chunk.end)
        self._set(chunk)
        return True

    def _join(self, left: Array, chunk: Chunk | None) -> Chunk:
        """A packet larger than a chunk, or one that comes in drops."""
        joined = bytearray(left.data)
        while chunk:
            joined += chunk.array[chunk.start : chunk.end].data
            if len(joined) >= lib.pfq_file_wanted(self._parser):
                break
            chunk = next(self._chunks, None)
        return Chunk(np.frombuffer(joined, np.uint8), 0, len(joined))

    def _set(self, chunk: Chunk) -> None:
        self._rest = chunk
        self._base = int(chunk.array.ctypes.data)

    def _know_interfaces(self) -> None:
        for number in range(len(self._interfaces), self._info().interfaces):
            self._interfaces.append(interface_of(number, self._told(number)))

    def _info(self) -> Any:
        lib.pfq_file_info(self._parser, self._known)
        return self._known

    def _told(self, number: int) -> Any:
        told = ffi.new("struct pfq_interface *")
        lib.pfq_file_interface(self._parser, number, told)
        return told

    def _check(self, code: int) -> None:
        if code == -errno.ENOMEM:
            raise LimitError(f"{self.path}: {_last_error()}")
        if code < 0:
            raise FileFormatError(f"{self.path}: {_last_error()}")


def _new_parser() -> Any:
    out = ffi.new("struct pfq_file **")
    if lib.pfq_file_new(out) < 0:
        raise LimitError(_last_error())
    return ffi.gc(out[0], lib.pfq_file_free)


def _last_error() -> str:
    return bytes(ffi.string(lib.pfq_error_last())).decode()
