"""Memory for programs in a few large maps: a program can refer to 64 maps, and groups may want more.

Each new map is as large as all before it together, so that there are few however much is asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable
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
        self.chunk = chunk
        self.offset = offset
        self.size = size
        self.memory = memoryview(chunk.memory)[offset : offset + size]

    @property
    def fd(self) -> int:
        """The descriptor of the map."""
        return self.chunk.map.fd

    def release(self) -> None:
        """Ends the use of its bytes from here; programs go on using them."""
        self.memory.release()

    def free(self) -> None:
        """Gives the memory back; no program may use it any more. Again is harmless."""
        if self.size:
            self.memory.release()
            self.chunk.free(self.offset, self.size)
            self.size = 0


class Chunk:
    """One of the maps, with what is free in it: offsets and sizes, in order."""

    def __init__(self, table: Map, used: bool = False) -> None:
        """used: nothing is free yet, because programs may be using any of it."""
        self.size = table.spec.value_bytes
        self.map = table
        self.memory: mmap.mmap = table.mmap(writable=True)
        self._free = [] if used else [(0, self.size)]

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


class Pool:
    """Gives out parts of maps, and takes them back."""

    def __init__(
        self, create: Callable[[MapSpec], Map] = Map.create, drop: Callable[[Map], object] = Map.close
    ) -> None:
        """How a map is made, and given back."""
        self._create = create
        self._drop = drop
        self._chunks: list[Chunk] = []
        self._adopted: dict[Chunk, list[tuple[int, int]]] = {}

    @property
    def maps(self) -> list[Map]:
        return [chunk.map for chunk in self._chunks]

    def part(self, size: int) -> Part:
        """New memory, all 0; whole cache lines."""
        whole = -(-max(size, 1) // LINE) * LINE
        for chunk in self._chunks:
            if (offset := chunk.take(whole)) is not None:
                return Part(chunk, offset, whole)
        chunk = self._chunk(max(whole, min(LARGEST, sum(each.size for each in self._chunks))))
        self._chunks.append(chunk)
        offset = chunk.take(whole)
        assert offset is not None, "a new map has room for what it was made for"
        return Part(chunk, offset, whole)

    def _chunk(self, size: int) -> Chunk:
        table = self._create(pool_spec(size))
        try:
            return Chunk(table)
        except BaseException:
            self._drop(table)
            raise

    def adopt(self, table: Map) -> None:
        """A map of another process that has ended. All of it is in use until `free_the_rest`."""
        chunk = Chunk(table, used=True)
        self._chunks.append(chunk)
        self._adopted[chunk] = []

    def adopt_part(self, pin: str, offset: int, size: int) -> Part:
        """A part of a map that was adopted; raises KeyError when there is none with this pin, ValueError when the
        part does not lie in it or meets another one."""
        chunk = next((chunk for chunk in self._adopted if chunk.map.pin == pin), None)
        if chunk is None:
            raise KeyError(pin)
        taken = self._adopted[chunk]
        if not 0 <= offset < offset + size <= chunk.size:
            raise ValueError(f"no part of {chunk.size} bytes is at {offset} with {size} bytes")
        if any(offset < at + there and at < offset + size for at, there in taken):
            raise ValueError(f"two parts are at {offset}")
        taken.append((offset, size))
        return Part(chunk, offset, size)

    def free_the_rest(self) -> None:
        """Frees what nobody has adopted a part of; no program may use it any more."""
        for chunk, taken in self._adopted.items():
            end = 0
            for offset, size in [*sorted(taken), (chunk.size, 0)]:
                if offset > end:
                    chunk.free(end, offset - end)
                end = offset + size
        self._adopted.clear()
        self.trim()

    def trim(self) -> None:
        """Gives maps back in which nothing is used."""
        for chunk in [chunk for chunk in self._chunks if chunk.empty]:
            self._chunks.remove(chunk)
            chunk.close()
            self._drop(chunk.map)

    def close(self, keep: bool = False) -> None:
        """All parts must be free.

        keep  the maps are not given back: only the descriptors are closed, with parts that are in use
        """
        for chunk in self._chunks:
            chunk.close()
            if keep:
                chunk.map.close()
            else:
                self._drop(chunk.map)
        self._chunks.clear()

    def __len__(self) -> int:
        """Maps that there are."""
        return len(self._chunks)


def pool_spec(size: int) -> MapSpec:
    """One of the maps that parts are taken from."""
    return MapSpec("pool", MapType.ARRAY, 4, size, 1, flags=MMAPABLE, direct=True)


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
