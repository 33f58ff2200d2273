"""The filters of groups as code: which groups of a device look at a frame at all.

They come before all other reading, so that a frame that no group admits costs its filters and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from llvmlite import ir

from pfq.codegen.berkeley import BerkeleyCode
from pfq.codegen.data import DataPlan
from pfq.codegen.facts import Admitted, Fact, Facts, TagControl, TagType
from pfq.codegen.frame import FrameCode
from pfq.codegen.kernel_calls import KernelCalls
from pfq.codegen.llvm import I8, I64
from pfq.lang.group import VLAN_IDS, Filters


class Admission:
    """The filters of all groups of a device, by their places among the groups."""

    def __init__(self, filters: Sequence[Filters], facts: Facts, plan: DataPlan) -> None:
        self.filters = filters
        self.facts = facts
        self.tables = {
            place: plan.constant(bytes(each.admits_vlan(found) for found in range(VLAN_IDS)))
            for place, each in enumerate(filters)
            if each.vlans is not None
        }
        wanted: list[Fact] = [Admitted(place) for place, each in enumerate(filters) if each]
        if self.tables:
            wanted.append(TagControl())
            facts.early.add(TagType())  # which comes with the other
        for fact in wanted:
            facts.slot(fact)
        facts.early.update(wanted)

    def __bool__(self) -> bool:
        return any(self.filters)

    def admitted(self, k: KernelCalls, slots: ir.Value, place: int) -> ir.Value:
        """Whether the filters of a group have accepted the frame; slots: pointer to the facts."""
        verdict = k.load(k.field(slots, self.facts.slots[Admitted(place)] * 8), 0, I64)
        return k.b.icmp_unsigned("!=", verdict, I64(0))

    def nobody_looks(self, k: KernelCalls, slots: ir.Value) -> ir.Value | None:
        """Whether the filters of all groups have rejected the frame; None when some group has none."""
        if not all(self.filters):
            return None
        return k.b.not_(reduce(k.b.or_, [self.admitted(k, slots, place) for place in range(len(self.filters))]))


class AdmissionCode(FrameCode):
    """Emits the filters; the verdict on each group is left as the fact `Admitted`."""

    def emit_filters(self, admission: Admission, k: KernelCalls, data: ir.Value) -> None:
        """Goes on behind all of them; data: pointer to the memory of the plan."""
        if admission.tables:
            self.outer_tag()
            k.barrier()
        berkeley = [each.berkeley for each in admission.filters if each.berkeley is not None]
        code = BerkeleyCode(self.b, self.window, berkeley, whole=True) if berkeley else None
        for place, each in enumerate(admission.filters):
            if not each:
                continue
            accepted: ir.Value = I64(1)
            if each.berkeley is not None and code is not None:
                accepted = code.emit(each.berkeley)
            if each.vlans is not None:
                accepted = self.b.and_(accepted, self._listed(k, k.field(data, admission.tables[place])))
            self._put(Admitted(place), accepted)

    def _listed(self, k: KernelCalls, table: ir.Value) -> ir.Value:
        """1 when the table has the id of the outer tag (i64)."""
        control = k.load(k.field(self.slots, self.facts.slots[TagControl()] * 8), 0, I64)
        found = self.b.and_(k.opaque(control), I64(VLAN_IDS - 1))
        return self.b.zext(k.load(k.field(table, found), 0, I8), I64)
