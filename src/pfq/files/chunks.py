"""The bytes of a source in large pieces, read ahead in a thread where reading never waits for a writer."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import numpy as np

from pfq._libpfq import ffi, lib
from pfq.columns.records import Array
from pfq.errors import FileAccessError, LimitError, PfqError
from pfq.files.pool import Pool
from pfq.files.source import Source

CHUNK_BYTES: Final = 1 << 20
HEADROOM_BYTES: Final = 1 << 16
"""Free bytes in front of a chunk, for the part of a packet that the chunk before it ended with."""
AHEAD: Final = 3
"""Chunks that are read, or wait, while another is used."""
_PATIENCE_NS: Final = 100_000_000
"""How long native code may keep Python from handling a signal."""


class Chunk(NamedTuple):
    """Bytes `start` to `end` of an array; those before `start` are free."""

    array: Array
    start: int
    end: int


def chunks(source: Source) -> Generator[Chunk, None, None]:
    """The bytes of the source, which is read while the chunk before is used. Raises what reading raises."""
    pool = Pool(lambda: np.empty(HEADROOM_BYTES + CHUNK_BYTES, np.uint8))
    if source.size is not None and source.size <= CHUNK_BYTES and not source.compressed:
        return _read(source, pool)
    descriptor = source.descriptor()
    if descriptor is not None:
        return _read_natively(source, descriptor, pool)
    return _read_ahead(source, pool) if source.regular else _read(source, pool)


def _read(source: Source, pool: Pool) -> Generator[Chunk, None, None]:
    while chunk := _next(source, pool):
        yield chunk


def _read_natively(source: Source, descriptor: int, pool: Pool) -> Generator[Chunk, None, None]:
    """The thread is libpfq's, which Python's lock does not stop."""
    ahead = _new_ahead(descriptor)
    filled = ffi.new("size_t *")
    given: deque[Array] = deque()
    try:
        while True:
            while len(given) < AHEAD:
                array = pool.take()
                given.append(array)
                lib.pfq_ahead_give(ahead, ffi.cast("char *", array.ctypes.data) + HEADROOM_BYTES, CHUNK_BYTES)
            del array
            while (code := lib.pfq_ahead_take(ahead, filled, _PATIENCE_NS)) == 0:
                pass
            if code < 0:
                raise FileAccessError(f"cannot read {source.path}: {os.strerror(-code)}")
            if filled[0] == 0:
                return
            source.advance(filled[0])
            yield _chunk(given.popleft(), filled[0])
    finally:
        lib.pfq_ahead_free(ahead)


def _new_ahead(descriptor: int) -> Any:
    out = ffi.new("struct pfq_ahead **")
    code = lib.pfq_ahead_new(out, descriptor)
    if code < 0:
        raise LimitError(f"cannot start a thread to read with: {os.strerror(-code)}")
    return out[0]


def _read_ahead(source: Source, pool: Pool) -> Generator[Chunk, None, None]:
    """Starts a thread, which ends with this iterator."""
    asked: SimpleQueue[bool] = SimpleQueue()
    given: SimpleQueue[Chunk | BaseException | None] = SimpleQueue()

    def fill() -> None:
        try:
            while asked.get() and (chunk := _next(source, pool)):
                given.put(chunk)
                del chunk
            given.put(None)
        except BaseException as error:  # raised again where the chunks are read
            given.put(error)

    thread = threading.Thread(target=fill, name="pfq read ahead", daemon=True)
    for _ in range(AHEAD):
        asked.put(True)
    thread.start()
    try:
        while item := given.get():
            if isinstance(item, BaseException):
                raise item
            asked.put(True)
            yield item
            del item
    finally:
        asked.put(False)
        thread.join()


def _next(source: Source, pool: Pool) -> Chunk | None:
    """What the source has now; a regular file fills the chunk."""
    array = pool.take()
    room = memoryview(array.data)[HEADROOM_BYTES:]
    size = source.read_into(room)
    try:
        while source.regular and 0 < size < CHUNK_BYTES and (more := source.read_into(room[size:])):
            size += more
    except PfqError:
        pass  # what was read before goes out first: the next call meets the fault again
    return _chunk(array, size) if size else None


def _chunk(array: Array, size: int) -> Chunk:
    """The first `size` bytes behind the free ones; a few do not hold the memory for many."""
    end = HEADROOM_BYTES + size
    if size < CHUNK_BYTES // 8:
        return Chunk(array[HEADROOM_BYTES:end].copy(), 0, size)
    return Chunk(array, HEADROOM_BYTES, end)
