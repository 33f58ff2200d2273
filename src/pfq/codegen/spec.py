"""What the code generator hands to the kernel layer: plain data, the same on every host.

Turning it into loaded programs and maps is `pfq.kernel`'s business (as in cilium/ebpf).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from pfq.source import Span


class MapType(IntEnum):
    """Numbers of `enum bpf_map_type` in linux/bpf.h."""

    ARRAY = 2
    PERCPU_ARRAY = 6
    ARRAY_OF_MAPS = 12
    RINGBUF = 27


MMAPABLE = 1 << 10
"""BPF_F_MMAPABLE"""


class Hook(Enum):
    """Where a program of a device runs."""

    XDP = "xdp"
    TC_INGRESS = "tc-ingress"
    TC_EGRESS = "tc-egress"


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to create, or the shape of the inner maps of an array of maps (`inner`).

    direct: the code holds the address of the map's only value (BPF_PSEUDO_MAP_VALUE plus an
    offset) instead of the map itself.
    pooled: the value may be a part of that of a larger map; a program can refer to 64 maps.
    """

    name: str
    type: MapType
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int = 0
    inner: MapSpec | None = None
    direct: bool = False
    pooled: bool = False


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A compiled program of a device.

    elf       relocatable object for `bpfel`; map references are relocations against the map's name
    entry     symbol of the entry function
    hook      decides program type and expected attach type
    frags     XDP only: the program accepts frames in several buffers (BPF_F_XDP_HAS_FRAGS)
    maps      every map the code refers to
    places    source line number in the debug information -> place in the user's program, to turn
              a verifier message into a place; numbers index this tuple from 1
    """

    elf: bytes
    entry: str
    hook: Hook
    maps: tuple[MapSpec, ...]
    places: tuple[Span, ...] = ()
    frags: bool = True
