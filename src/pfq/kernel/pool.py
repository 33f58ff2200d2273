"""Memory for programs in a few large maps: a program can refer to 64 maps, and groups may want more.

Each new map is as large as all before it together, so that there are few however much is asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from contextlib import ExitStack

from pfq.codegen.spec import MMAPABLE, MapSpec, MapType
from pfq.kernel.maps import Map

LINE = 64
LARGEST = 1 << 29
"""What the verifier lets an offset into one map reach."""


class Part:
    """Part of the value of a map that code refers to directly.

    memory  its bytes, shared with the programs
    """

    def __init__(self, chunk: Chunk, offset: int, size: int) -> None:
        self._chunk = chunk
        self.offset = offset
        self.size = size
        self.memory = memoryview(chunk.memory)[offset : offset + size]

    @property
    def fd(self) -> int:
        """The descriptor of the map."""
        return self._chunk.map.fd

    def free(self) -> None:
        """Gives the memory back; no program may use it any more. Again is harmless."""
        if self.size:
            self.memory.release()
            self._chunk.free(self.offset, self.size)
            self.size = 0


class Chunk:
    """One of the maps, with what is free in it: offsets and sizes, in order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.map = Map.create(MapSpec("pool", MapType.ARRAY, 4, size, 1, flags=MMAPABLE, direct=True))
        try:
            self.memory: mmap.mmap = self.map.mmap(writable=True)
        except BaseException:
            self.map.close()
            raise
        self._free = [(0, size)]

    def take(self, size: int) -> int | None:
        """The offset of free memory, which is all 0."""
        for place, (offset, there) in enumerate(self._free):
            if there >= size:
                rest = [(offset + size, there - size)] if there > size else []
                self._free[place : place + 1] = rest
                return offset
        return None

    def free(self, offset: int, size: int) -> None:
        self.memory[offset : offset + size] = bytes(size)
        joined: list[tuple[int, int]] = []
        for at, there in sorted([*self._free, (offset, size)]):
            if joined and sum(joined[-1]) == at:
                joined[-1] = (joined[-1][0], joined[-1][1] + there)
            else:
                joined.append((at, there))
        self._free = joined

    @property
    def empty(self) -> bool:
        return self._free == [(0, self.size)]

    def close(self) -> None:
        """Programs keep the memory until they are gone."""
        self.memory.close()
        self.map.close()


class Pool:
    """Gives out parts of maps, and takes them back."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def part(self, size: int) -> Part:
        """New memory, all 0; whole cache lines."""
        whole = -(-max(size, 1) // LINE) * LINE
        for chunk in self._chunks:
            if (offset := chunk.take(whole)) is not None:
                return Part(chunk, offset, whole)
        chunk = Chunk(max(whole, min(LARGEST, sum(each.size for each in self._chunks))))
        self._chunks.append(chunk)
        offset = chunk.take(whole)
        assert offset is not None, "a new map has room for what it was made for"
        return Part(chunk, offset, whole)

    def trim(self) -> None:
        """Gives maps back in which nothing is used."""
        for chunk in [chunk for chunk in self._chunks if chunk.empty]:
            self._chunks.remove(chunk)
            chunk.close()

    def close(self) -> None:
        """All parts must be free."""
        for chunk in self._chunks:
            chunk.close()
        self._chunks.clear()

    def __len__(self) -> int:
        """Maps that there are."""
        return len(self._chunks)


def created(specs: Iterable[MapSpec], undo: ExitStack) -> dict[str, Map | Part]:
    """The maps of a program, all its own; what may be pooled is."""
    pool = Pool()
    undo.callback(pool.close)
    found: dict[str, Map | Part] = {}
    for spec in specs:
        if spec.pooled:
            part = found[spec.name] = pool.part(spec.value_bytes)
            undo.callback(part.free)
        else:
            found[spec.name] = undo.enter_context(Map.create(spec))
    return found
