"""Memory of programs that stays from packet to packet: Bloom filters, sets of prefixes, rates, flows.

A plan says what lies where in one piece of memory, which the kernel's programs and native code use
alike. Every region but those of sets has a power of two for its size, so that a mask is the bounds check.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from pfq.codegen import layouts
from pfq.codegen.prefixes import SetRegion
from pfq.errors import TooBigError
from pfq.lang.action import Event
from pfq.lang.prefixset import PrefixSet

LINE: Final = 64
MAX_DATA: Final = 1 << 29
"""What the verifier lets an offset into one map reach."""
OWN_BOUNDARIES: Final = 4096
"""Room for half as many addresses of a device, of each family."""
MAX_SITES: Final = 255


def power_of_two(size: int) -> int:
    """The smallest power of two that is not less."""
    return 1 << max(0, size - 1).bit_length()


@dataclass
class DataPlan:
    """What the programs of a device keep, and what they refer to by number.

    rows     CPUs, rounded up to a power of two
    initial  contents that are not 0, by offset
    sets     sets of prefixes by what the program calls them, in the order of their use
    hosts    the set of the receiving device's own addresses
    devices  names of devices to send on; a forward holds their place in here
    needed   those of them that must be there
    sites    what calls report to the user; an event holds their place in here
    """

    rows: int = 1
    size: int = 0
    initial: dict[int, bytes] = field(default_factory=dict)
    sets: dict[PrefixSet, SetRegion] = field(default_factory=dict)
    hosts: SetRegion | None = None
    devices: list[str] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)
    sites: list[Event] = field(default_factory=list)
    _keyed: dict[Hashable, int] = field(default_factory=dict)

    def region(self, size: int) -> int:
        """The offset of new memory; whole cache lines."""
        offset = self.size
        self.size = offset + max(size, LINE)
        if self.size > MAX_DATA:
            raise TooBigError(
                f"the tables of the program need more than {MAX_DATA >> 20} MiB", hint="make tables or sets smaller"
            )
        return offset

    def keyed(self, key: Hashable, size: int) -> int:
        """The same memory for whoever asks with an equal key."""
        if key not in self._keyed:
            self._keyed[key] = self.region(size)
        return self._keyed[key]

    def constant(self, content: bytes) -> int:
        """The offset of memory with this content; equal contents share it."""
        key = ("constant", content)
        if key not in self._keyed:
            self.initial[self.keyed(key, power_of_two(len(content)))] = content
        return self._keyed[key]

    def prefixes(self, addresses: PrefixSet) -> SetRegion:
        """The region of a set, with room to grow."""
        if addresses not in self.sets:
            region = SetRegion.with_room_for(addresses)
            self.sets[addresses] = region.moved(self.region(region.size))
            self.initial[self.sets[addresses].offset] = self.sets[addresses].packed(addresses)
        return self.sets[addresses]

    def own_addresses(self) -> SetRegion:
        """The region of the set of the device's own addresses, empty at first."""
        if self.hosts is None:
            region = SetRegion(0, OWN_BOUNDARIES, OWN_BOUNDARIES)
            self.hosts = region.moved(self.region(region.size))
        return self.hosts

    def device(self, name: str) -> int:
        """The number of a device to send on."""
        return self._numbered(self.devices, name, layouts.MAX_DEVICES, "devices to forward to")

    def site(self, event: Event) -> int:
        """The number of what a call reports."""
        return self._numbered(self.sites, event, MAX_SITES, "different messages")

    @staticmethod
    def _numbered(known: list[object] | list[str] | list[Event], item: object, limit: int, what: str) -> int:
        if item not in known:
            if len(known) == limit:
                raise TooBigError(f"the program has more than {limit} {what}", hint="split it into several groups")
            known.append(item)  # type: ignore[arg-type]
        return known.index(item)  # type: ignore[arg-type]

    def content(self) -> bytes:
        """The whole memory at the start; for native code, the kernel's is filled in place."""
        memory = bytearray(max(self.size, LINE))
        for offset, piece in self.initial.items():
            memory[offset : offset + len(piece)] = piece
        return bytes(memory)
