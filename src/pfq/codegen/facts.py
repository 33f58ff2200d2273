"""Facts: what a program wants to know of a packet, each read once and kept in a numbered slot.

Lowering asks for facts and gets slot numbers; when the whole program is lowered, `headers.py`
writes the code that fills the slots that were asked for. Slots hold 64-bit numbers and are 0 when
what they tell of is absent. Facts of layers 3 and 4 have a level: 0 is the outermost packet, each
tunnel is one more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeGuard

from pfq.codegen.layouts import MAX_FACTS
from pfq.errors import TooBigError
from pfq.lang.berkeley import BerkeleyFilter

Layer = Literal["frame", "ip4", "ip6", "l4"]


@dataclass(frozen=True, slots=True)
class Length:
    """Bytes of the frame on the wire."""


@dataclass(frozen=True, slots=True)
class Ingress:
    """Number of the receiving device."""


@dataclass(frozen=True, slots=True)
class Now:
    """Nanoseconds of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class HalfInUse:
    """Which half of a set of prefixes is in use; asked once for a packet, which must not meet two sets.

    offset  of the set in the memory
    memory  which that is; empty where programs have one only
    """

    offset: int
    memory: str = ""


@dataclass(frozen=True, slots=True)
class EtherType:
    """The EtherType behind the tags, as little endian, plus 2**16."""


@dataclass(frozen=True, slots=True)
class TagControl:
    """Control information of the outer VLAN tag plus 2**16."""


@dataclass(frozen=True, slots=True)
class TagType:
    """EtherType of the outer VLAN tag, as little endian, plus 2**16."""


@dataclass(frozen=True, slots=True)
class Wire:
    """`size` bytes at `offset` of the frame as it was on the wire, as little endian, plus 2**32."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Berkeley:
    """1 when the filter accepts the frame as it was on the wire."""

    wanted: BerkeleyFilter


@dataclass(frozen=True, slots=True)
class Admitted:
    """1 when the filters of the group at a place among the groups of the device accept the frame."""

    place: int


@dataclass(frozen=True, slots=True)
class L3Offset:
    """Bytes from the start of the frame to the IP header; 0 when there is none."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """4 or 6 when layer 3 is a whole IP header."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class Fragment:
    """Not 0 when layer 3 is a fragment."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class Protocol:
    """The protocol behind all extension headers, plus one; 0 when there is none."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class L4Offset:
    """Bytes from the IP header to layer 4; 0 when that is not there."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class AddressHash:
    """XOR of the words of the source or destination address."""

    side: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Present:
    """1 when the first `size` bytes of the layer are there."""

    layer: Layer
    size: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Transport:
    """The protocol behind all extension headers when the first `size` bytes of layer 4 are there, 0 otherwise."""

    size: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Bytes:
    """`size` bytes at `offset` of the layer, as little endian."""

    layer: Layer
    offset: int
    size: int
    level: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size


LayerFact = Transport | Present | Bytes
OfFrame = Length | Ingress | Now | HalfInUse | EtherType | TagControl | TagType | Wire | Berkeley | Admitted
OfLevel = Version | L3Offset | Fragment | Protocol | L4Offset | AddressHash | Transport | Present | Bytes
Fact = OfFrame | OfLevel


@dataclass
class Facts:
    """The facts asked for so far, in the order of asking.

    early  those that the filters of groups need, and that are read in front of the others
    """

    slots: dict[Fact, int] = field(default_factory=dict)
    early: set[Fact] = field(default_factory=set)

    def slot(self, fact: Fact) -> int:
        """The slot of a fact, a new one when it was not asked for yet."""
        if fact not in self.slots and len(self.slots) == MAX_FACTS:
            raise TooBigError(
                f"the program reads more than {MAX_FACTS} different header fields",
                hint="split it into several groups",
            )
        return self.slots.setdefault(fact, len(self.slots))

    def of_level(self, level: int) -> list[OfLevel]:
        """Facts of layers 3 and 4 at a level."""
        return [fact for fact in self.slots if _has_level(fact) and fact.level == level]

    def of_network(self) -> list[Fact]:
        """What is behind the Ethernet header, and the EtherType."""
        return [fact for fact in self.slots if isinstance(fact, EtherType) or _has_level(fact)]

    @property
    def levels(self) -> int:
        """How many levels must be read."""
        found = [fact.level for fact in self.slots if _has_level(fact)]
        return max(found, default=-1) + 1

    def halves(self) -> list[HalfInUse]:
        return [fact for fact in self.slots if isinstance(fact, HalfInUse)]

    def wires(self) -> list[Wire]:
        return [fact for fact in self.slots if isinstance(fact, Wire)]

    def filters(self) -> list[Berkeley]:
        return [fact for fact in self.slots if isinstance(fact, Berkeley)]

    def bytes_of(self, layer: Layer, level: int) -> list[Bytes]:
        return [f for f in self.slots if isinstance(f, Bytes) and f.layer == layer and f.level == level]

    def parts(self, layer: Layer, level: int) -> list[tuple[int, list[LayerFact]]]:
        """(size, facts that are there with so many bytes of the layer), in ascending order.

        What a program reads of layer 4 is not tested for by itself, when a size that it tests for covers it.
        """
        found: dict[int, list[LayerFact]] = {}
        for fact in self.slots:
            match fact:
                case Present(name, size, at) if (name, at) == (layer, level):
                    found.setdefault(size, []).append(fact)
                case Transport(size, at) if (layer, level) == ("l4", at):
                    found.setdefault(size, []).append(fact)
        tested = sorted(found)
        for fact in self.bytes_of(layer, level):
            covering = [size for size in tested if size >= fact.end] if layer == "l4" else []
            found.setdefault(covering[0] if covering else fact.end, []).append(fact)
        return sorted(found.items(), key=lambda item: item[0])

    def need_l4(self, level: int) -> bool:
        """Whether anything behind the IP header of a level matters."""
        return bool(self.parts("l4", level)) or L4Offset(level) in self.slots or self.levels > level + 1

    @property
    def need_frame(self) -> bool:
        """Whether any byte of the frame matters."""
        return any(not isinstance(fact, Length | Ingress | Now | HalfInUse) for fact in self.slots)

    @property
    def need_network(self) -> bool:
        """Whether the EtherType matters."""
        return self.levels > 0 or any(isinstance(fact, EtherType) for fact in self.slots)

    @property
    def need_tag(self) -> bool:
        """Whether the outer tag is still to be read."""
        return any(isinstance(fact, TagControl | TagType) and fact not in self.early for fact in self.slots)

    @property
    def need_more(self) -> bool:
        """Whether anything is read behind the filters of groups."""
        return any(fact not in self.early for fact in self.slots)


def _has_level(fact: Fact) -> TypeGuard[OfLevel]:
    return isinstance(fact, OfLevel) and not (isinstance(fact, Present | Bytes) and fact.layer == "frame")
