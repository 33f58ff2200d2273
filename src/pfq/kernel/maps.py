"""Maps as objects."""

from __future__ import annotations

import errno
import mmap
import struct
from functools import cache
from pathlib import Path
from sys import byteorder as sys_byteorder
from types import TracebackType
from typing import Self

from pfq.codegen.spec import MMAPABLE, MapSpec, MapType
from pfq.errors import KernelRefusedError
from pfq.kernel import abi, sys


@cache
def possible_cpus() -> int:
    """CPUs the kernel keeps per-CPU data for; more than are online on some machines."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return max(int(part.rpartition("-")[2]) for part in text.strip().split(",")) + 1


def round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


class Map:
    """A map of the kernel, owned through its descriptor: it lives until the last descriptor,
    mapping and program that use it are gone.

    Keys are numbers (arrays have no others). A map of maps has maps for values: see `set_inner`.
    """

    offset = 0
    """Where the value of a map begins that code refers to directly; that of a part is elsewhere."""

    def __init__(self, spec: MapSpec, fd: sys.Fd, pin: str = "") -> None:
        """pin: what it is called in a directory of pins, when it is in one."""
        self.spec = spec
        self.pin = pin
        self._fd = fd

    @classmethod
    def create(cls, spec: MapSpec, inner: Map | None = None) -> Map:
        """Creates the map that `spec` describes.

        inner: an array of maps takes the shape of its inner maps from this one; without it a map
               made from `spec.inner` is created for the moment.
        """
        if spec.inner is not None and inner is None:
            with cls.create(spec.inner) as shape:
                return cls.create(spec, shape)
        fd = sys.map_create(
            spec.type,
            spec.key_bytes,
            spec.value_bytes,
            spec.entries,
            flags=spec.flags,
            inner=inner.fd if inner else 0,
            name=spec.name,
        )
        return cls(spec, fd)

    @property
    def fd(self) -> int:
        """The descriptor's number; raises ValueError once closed."""
        return self._fd.fileno()

    @property
    def id(self) -> int:
        """The number the kernel lists the map under."""
        return int(sys.info(self.fd, abi.MapInfo).id)

    @property
    def stride(self) -> int:
        """Bytes from one element to the next in memory, and from one CPU's value to the next."""
        return round_up(self.spec.value_bytes, 8)

    def lookup(self, key: int) -> bytes:
        """The value of `key`. Of a per-CPU map, all CPUs' values joined, each `stride` bytes long."""
        return sys.map_lookup(self.fd, self._key(key), self._value_bytes())

    def lookup_cpus(self, key: int) -> tuple[bytes, ...]:
        """The values of `key` in a per-CPU map, one for each possible CPU."""
        whole = self.lookup(key)
        return tuple(whole[at : at + self.spec.value_bytes] for at in range(0, len(whole), self.stride))

    def update(self, key: int, value: bytes) -> None:
        """Stores the value of `key`, in the form that `lookup` gives."""
        if len(value) != self._value_bytes():
            raise ValueError(f"`{self.spec.name}` has values of {self._value_bytes()} bytes, not {len(value)}")
        sys.map_update(self.fd, self._key(key), value)

    def set_inner(self, index: int, inner: Map) -> None:
        """Puts a map into an array of maps. The kernel refuses a shape other than the declared one."""
        sys.map_update(self.fd, self._key(index), struct.pack("=I", inner.fd))

    def inner_id(self, index: int) -> int | None:
        """The number of the map at a place of an array of maps, None when it is empty."""
        try:
            return int.from_bytes(sys.map_lookup(self.fd, self._key(index), 4), sys_byteorder)
        except KernelRefusedError as error:
            if sys.errno_of(error) != errno.ENOENT:
                raise
            return None

    def clear(self, index: int) -> None:
        """Empties a place of an array of maps; harmless when it is empty."""
        try:
            sys.map_delete(self.fd, self._key(index))
        except KernelRefusedError as error:
            if sys.errno_of(error) != errno.ENOENT:
                raise

    def freeze(self) -> None:
        """Makes the map read-only for user space, for ever; programs go on writing it."""
        sys.map_freeze(self.fd)

    def mmap(self, writable: bool = False, pages: int | None = None) -> mmap.mmap:
        """The values as shared memory, element i at `i * stride`; whole pages.

        pages  how many from the first on; None: all
        Only maps with the flag MMAPABLE. A frozen map cannot be mapped writable.
        """
        size = round_up(self.stride * self.spec.entries, mmap.PAGESIZE)
        if pages is not None:
            size = min(size, pages * mmap.PAGESIZE)
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        try:
            return mmap.mmap(self.fd, size, mmap.MAP_SHARED, prot)
        except OSError as error:
            hint = None if self.spec.flags & MMAPABLE else "the map was created without the flag MMAPABLE"
            raise sys.refusal(f"mapping `{self.spec.name}` into memory", error.errno or 0, hint) from error

    def close(self) -> None:
        """Gives the descriptor back; again is harmless."""
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Map {self.spec.name}: {self.spec.entries} x {self.spec.value_bytes} bytes>"

    def _key(self, key: int) -> bytes:
        return key.to_bytes(self.spec.key_bytes, "little")

    def _value_bytes(self) -> int:
        return self.stride * possible_cpus() if self.spec.type is MapType.PERCPU_ARRAY else self.spec.value_bytes
