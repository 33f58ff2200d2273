"""Programs that count their packets, for the tests of attachment."""

from __future__ import annotations

import struct
from types import TracebackType
from typing import Self

from unit.kernel.llvm import returning

from pfq.codegen.spec import MMAPABLE, Hook, MapSpec, MapType, ObjectSpec
from pfq.kernel.maps import Map
from pfq.kernel.programs import Program, load

XDP_DROP, XDP_PASS = 1, 2
TC_NEXT, TC_SHOT = -1, 2

COUNTER = MapSpec("counter", MapType.ARRAY, 4, 8, 1, MMAPABLE, direct=True)


class Counted:
    """A loaded program that returns `code` for every packet, and the number of packets it has seen."""

    def __init__(
        self, code: int, hook: Hook = Hook.XDP, *, name: str = "counted", frags: bool = True, tcx: bool = True
    ):
        self._map = Map.create(COUNTER)
        spec = ObjectSpec(returning(code, "counter"), "entry", hook, (COUNTER,), frags=frags)
        self.program: Program = load(spec, {"counter": self._map}, name, tcx=tcx)

    @property
    def seen(self) -> int:
        (count,) = struct.unpack("<Q", self._map.lookup(0))
        return int(count)

    def close(self) -> None:
        self.program.close()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()
