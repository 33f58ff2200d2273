"""Writing batches to a pcapng file."""

from __future__ import annotations

import errno
import os
import platform
import stat
import struct
import time
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from pfq.errors import FileAccessError, OutputError, UsageError
from pfq._libpfq import ffi, lib
from pfq.ring.batch import Batch
from pfq.ring.statistics import RingStatistics

_ETHERNET: Final = 1
_BUFFER_BYTES: Final = 1 << 20

# Blocks and options of pcapng (draft-ietf-opsawg-pcapng); option 0 ends a list.
_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_SHB_OS, _SHB_USERAPPL = 3, 4
_IF_NAME, _IF_TSRESOL, _IF_OS = 2, 9, 12
_ISB_START, _ISB_END, _ISB_IFRECV, _ISB_OSDROP, _ISB_DELIVERED = 2, 3, 4, 7, 8

_REMEDIES = {
    errno.ENOSPC: "make room on that file system, or write to another one",
    errno.EDQUOT: "make room within your quota, or write to another file system",
    errno.EPIPE: "the program that reads the packets has ended; start both again",
}


class PcapngWriter:
    """A pcapng file with one Ethernet interface; a batch is in the file when `write` returns.

    Close it with the end-point's statistics to have the counts of losses in the file.
    """

    def __init__(self, path: str, interface: str, snaplen: int) -> None:
        """Creates the file, or empties it; `-` is standard output.

        snaplen: bytes, at most, of each packet that are in the file
        Raises FileAccessError when it cannot be created, OutputError when it cannot be written.
        """
        self.path = path
        self.packets = 0
        """packets written"""
        self._fd = _create(path)
        self._buffer = ffi.new("char[]", _BUFFER_BYTES)
        self._done = ffi.new("uint32_t *")
        self._started_ns = time.time_ns()
        self._put(_section() + _interface(interface, snaplen))

    def write(self, batch: Batch) -> None:
        """Appends the packets of a batch. Raises OutputError (disk full ...), ViewExpiredError."""
        if self._fd < 0:
            raise UsageError(f"the writer of {self.path} is closed")
        run = batch.as_struct()
        done = self._done[0] = 0
        while done < run.count:
            size = lib.pfq_pcapng_packets(run, self._buffer, _BUFFER_BYTES, 0, self._done)
            self._put(memoryview(ffi.buffer(self._buffer, size)))
            done, before = self._done[0], done
            self.packets += done - before

    def close(self, statistics: RingStatistics | None = None) -> None:
        """Ends the file with the packets received and lost; without `statistics` only what was written."""
        if self._fd < 0:
            return
        try:
            self._put(_interface_statistics(self._started_ns, self.packets, statistics))
        finally:
            self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _put(self, data: bytes | memoryview) -> None:
        """Writes whole blocks, all of them or as many as there is room for."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self._cut(bytes(data[:written]))
            self._abandon()
            raise OutputError(
                f"writing {self.path} failed after {self.packets} packets: {error.strerror}",
                hint=_REMEDIES.get(error.errno or 0, "write to another place"),
            ) from error

    def _cut(self, written: bytes) -> None:
        """Counts the packets whose blocks were written whole; a half block at the end is cut off."""
        whole = 0
        while whole + 8 <= len(written):
            kind, size = struct.unpack_from("<II", written, whole)
            if whole + size > len(written):
                break
            self.packets += kind == _PACKET
            whole += size
        if whole < len(written) and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, os.lseek(self._fd, 0, os.SEEK_CUR) - (len(written) - whole))

    def _abandon(self) -> None:
        os.close(self._fd)
        self._fd = -1


def _create(path: str) -> int:
    if path == "-":
        return os.dup(1)
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise FileAccessError(
            f"cannot create {path}: {error.strerror}", hint="name a file in a folder you can write to"
        ) from error


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    listed = b"".join(struct.pack("<HH", code, len(data)) + data + bytes(-len(data) % 4) for code, data in options)
    return listed + bytes(4)


def _section() -> bytes:
    magic, major, minor, unknown_size = 0x1A2B3C4D, 1, 0, -1
    fixed = struct.pack("<IHHq", magic, major, minor, unknown_size)
    return _block(_SECTION, fixed + _options((_SHB_OS, _system()), (_SHB_USERAPPL, f"pfq {version('pfq')}".encode())))


def _interface(name: str, snaplen: int) -> bytes:
    fixed = struct.pack("<HHI", _ETHERNET, 0, snaplen)
    return _block(_INTERFACE, fixed + _options((_IF_NAME, name.encode()), (_IF_TSRESOL, b"\x09"), (_IF_OS, _system())))


def _interface_statistics(started_ns: int, written: int, statistics: RingStatistics | None) -> bytes:
    now = time.time_ns()
    options = [(_ISB_START, _timestamp(started_ns)), (_ISB_END, _timestamp(now))]
    if statistics is not None:
        received = statistics.delivered + statistics.lost
        options += [(_ISB_IFRECV, struct.pack("<Q", received)), (_ISB_OSDROP, struct.pack("<Q", statistics.lost))]
    options.append((_ISB_DELIVERED, struct.pack("<Q", written)))
    return _block(_STATISTICS, struct.pack("<I", 0) + _timestamp(now) + _options(*options))


def _timestamp(ns: int) -> bytes:
    return struct.pack("<II", ns >> 32, ns & 0xFFFFFFFF)


def _system() -> bytes:
    return f"{platform.system()} {platform.release()}".encode()
