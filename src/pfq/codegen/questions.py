"""What a program asks of a packet: each question is answered from the slots of facts."""

from __future__ import annotations

from llvmlite import ir

from pfq.codegen.arithmetic import Arithmetic, Surroundings
from pfq.codegen.facts import (
    AddressHash,
    Berkeley,
    Bytes,
    EtherType,
    Fact,
    Facts,
    Fragment,
    L4Offset,
    Length,
    Now,
    Present,
    Protocol,
    TagControl,
    TagType,
    Transport,
    Version,
    Wire,
)
from pfq.codegen.llvm import I64
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.interp import BOTH_SIDES
from pfq.lang.program import Prefix

ADDRESS_OFFSETS = {4: {"src": 12, "dst": 16}, 6: {"src": 8, "dst": 24}}


class Questions(Arithmetic):
    """Emits the look-up of facts.

    level  how many tunnels deep the program looks
    sides  which ends two-sided predicates look at
    """

    def __init__(self, builder: ir.IRBuilder, around: Surroundings, facts: Facts) -> None:
        super().__init__(builder, around)
        self.facts = facts
        self.sides: tuple[str, ...] = BOTH_SIDES
        self.level = 0

    def _fact(self, fact: Fact) -> ir.Value:
        return self.b.load(self._field(self.around.slots, self.facts.slot(fact) * 8), typ=I64, align=8)

    # the frame

    def frame_length(self) -> ir.Value:
        return self._fact(Length())

    def ethertype(self) -> tuple[ir.Value, ir.Value]:
        present, value = self._flagged(EtherType(), 16)
        return present, self.swapped(value, 2)

    def tag(self) -> tuple[ir.Value, ir.Value]:
        return self._flagged(TagControl(), 16)

    def tag_type(self) -> tuple[ir.Value, ir.Value]:
        present, value = self._flagged(TagType(), 16)
        return present, self.swapped(value, 2)

    def wire_raw(self, offset: int, size: int) -> tuple[ir.Value, ir.Value]:
        return self._flagged(Wire(offset, size), 32)

    def berkeley(self, wanted: BerkeleyFilter) -> ir.Value:
        return self.compare("!=", self._fact(Berkeley(wanted)), I64(0))

    def _flagged(self, fact: Fact, bits: int) -> tuple[ir.Value, ir.Value]:
        value = self._fact(fact)
        return self.compare("!=", value, I64(0)), self.b.and_(value, I64((1 << bits) - 1))

    def has_frame(self, size: int) -> ir.Value:
        return self.compare("!=", self._fact(Present("frame", size)), I64(0))

    # header fields

    def is_ip(self, version: int) -> ir.Value:
        return self.compare("==", self._fact(Version(self.level)), I64(version))

    def is_fragment(self) -> ir.Value:
        return self.compare("!=", self._fact(Fragment(self.level)), I64(0))

    def has_l4(self, size: int) -> ir.Value:
        return self.compare("!=", self._fact(Present("l4", size, self.level)), I64(0))

    def is_transport(self, proto: int, size: int) -> ir.Value:
        return self.compare("==", self._fact(Transport(size, self.level)), I64(proto))

    def is_l4_proto(self, proto: int) -> ir.Value:
        return self.compare("==", self._fact(Protocol(self.level)), I64(proto + 1))

    def l4_proto(self) -> tuple[ir.Value, ir.Value]:
        found = self._fact(Protocol(self.level))
        return self.compare("!=", found, I64(0)), self.b.sub(found, I64(1))

    def l4_offset(self) -> ir.Value:
        return self._fact(L4Offset(self.level))

    def load_raw(self, layer: str, offset: int, size: int) -> ir.Value:
        level = 0 if layer == "frame" else self.level
        fact = Bytes(layer, offset, size, level)  # type: ignore[arg-type]
        place, kind = self._field(self.around.slots, self.facts.slot(fact) * 8), ir.IntType(8 * size)
        value = self.b.load(place, typ=kind, align=size)
        return value if size == 8 else self.b.zext(value, I64)

    def load(self, layer: str, offset: int, size: int) -> ir.Value:
        return self.swapped(self.load_raw(layer, offset, size), size)

    def address_in(self, side: str, prefix: Prefix) -> ir.Value:
        layer = f"ip{prefix.version}"
        offset = ADDRESS_OFFSETS[prefix.version][side]
        mask = prefix.network.netmask.packed
        hit = self.is_ip(prefix.version)
        for at in range(0, len(mask), 4):
            bits = int.from_bytes(mask[at : at + 4], "little")
            if bits:
                wanted = int.from_bytes(prefix.bytes[at : at + 4], "little")
                word = self.b.and_(self.load_raw(layer, offset + at, 4), I64(bits))
                hit = self.both(hit, self.compare("==", word, I64(wanted)))
        return hit

    def address_hash(self, side: str) -> ir.Value:
        return self._fact(AddressHash(side, self.level))

    def now(self) -> ir.Value:
        return self._fact(Now())
