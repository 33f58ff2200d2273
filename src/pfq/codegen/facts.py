"""Facts: what a program wants to know of the headers, each read once and kept in a numbered slot.

Lowering asks for facts and gets slot numbers; when the whole program is lowered, `headers.py`
writes the code that fills the slots that were asked for. Slots hold 64-bit numbers and are 0 when
the header is absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pfq.codegen.layouts import MAX_FACTS
from pfq.errors import TooBigError

Layer = Literal["frame", "ip4", "ip6", "l4"]


@dataclass(frozen=True, slots=True)
class Version:
    """4 or 6 when layer 3 is a whole IP header."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """1 when layer 3 is a fragment."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The protocol behind all extension headers, plus one; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class AddressHash:
    """XOR of the words of the source or destination address."""

    side: str


@dataclass(frozen=True, slots=True)
class Present:
    """1 when the first `size` bytes of the layer are there."""

    layer: Layer
    size: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """`size` bytes at `offset` of the layer, as little endian."""

    layer: Layer
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


Fact = Version | Fragment | Protocol | AddressHash | Present | Bytes


@dataclass
class Facts:
    """The facts asked for so far, in the order of asking."""

    slots: dict[Fact, int] = field(default_factory=dict)

    def slot(self, fact: Fact) -> int:
        """The slot of a fact, a new one when it was not asked for yet."""
        if fact not in self.slots and len(self.slots) == MAX_FACTS:
            raise TooBigError(
                f"the program reads more than {MAX_FACTS} different header fields",
                hint="split it into several groups",
            )
        return self.slots.setdefault(fact, len(self.slots))

    def wanted(self, *kinds: type) -> list[Fact]:
        """The facts of some kinds."""
        return [fact for fact in self.slots if isinstance(fact, kinds)]

    def bytes_of(self, layer: Layer) -> list[Bytes]:
        return [fact for fact in self.slots if isinstance(fact, Bytes) and fact.layer == layer]

    def sizes_of(self, layer: Layer) -> list[int]:
        """The sizes of a layer that must be tested for, in ascending order."""
        present = {fact.size for fact in self.slots if isinstance(fact, Present) and fact.layer == layer}
        return sorted(present | {fact.end for fact in self.bytes_of(layer)})

    @property
    def need_l4(self) -> bool:
        return bool(self.sizes_of("l4"))

    @property
    def need_ip(self) -> bool:
        return self.need_l4 or any(not isinstance(f, Bytes | Present) or f.layer != "frame" for f in self.slots)
