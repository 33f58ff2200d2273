"""A group in plain Python: the filters in front of its program, then the program. The reference for both.

    packet ──► Berkeley filter ──► VLAN filter ──► program ──► action
                     └── rejected ──────┴──► nothing more happens

What is compiled, for the kernel and for this process, must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from pfq.errors import UsageError
from pfq.lang.action import Action, Fanout
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.interp import Interpreter, World
from pfq.lang.packet import Packet, Tag
from pfq.lang.program import Program

VLAN_IDS: Final = 4096
UNTAGGED: Final = 0
"""The VLAN id of packets without a tag, and of those whose tag carries a priority only."""
ANY_VLAN: Final = -1
LAST_VLAN: Final = 4094
"""4095 is reserved."""


class Outcome(IntEnum):
    """What became of a packet in a group."""

    FILTERED = 0
    """a filter of the group rejected it"""
    DROPPED = 1
    """the program dropped it"""
    SELECTED = 2
    """it goes to end-points, as the program says"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a packet must pass before the program sees it; both, where there are both.

    berkeley  sees the frame as it was on the wire, however long
    vlans     ids of the outer tag that pass: `UNTAGGED`, 1 to 4094, `ANY_VLAN` for every id but 0
    """

    berkeley: BerkeleyFilter | None = None
    vlans: frozenset[int] | None = None

    def __bool__(self) -> bool:
        return self.berkeley is not None or self.vlans is not None

    def admits(self, packet: Packet) -> bool:
        """Whether the program gets to see a packet."""
        if self.berkeley is not None and not self.berkeley.accepts(packet.wire_frame, packet.length):
            return False
        tag = packet.outer_tag
        return self.admits_vlan(UNTAGGED if tag is None else tag.tci % VLAN_IDS)

    def admits_vlan(self, found: int) -> bool:
        """Whether packets with a VLAN id pass the VLAN filter."""
        if self.vlans is None or found in self.vlans:
            return True
        return ANY_VLAN in self.vlans and UNTAGGED < found <= LAST_VLAN


class GroupInterpreter:
    """A group with the memory of its program: counts, rates and flows stay from packet to packet."""

    def __init__(self, program: Program, filters: Filters) -> None:
        self._program = Interpreter(program)
        self._filters = filters

    def decide(
        self, frame: bytes, *, tag: Tag | None = None, length: int | None = None, world: World | None = None
    ) -> tuple[Outcome, Action]:
        """What becomes of a frame; the arguments are those of `Interpreter.decide`."""
        if not self._filters.admits(Packet(frame, tag, length)):
            return Outcome.FILTERED, Action(Fanout.DROP)
        action = self._program.decide(frame, tag=tag, length=length, world=world)
        return Outcome.DROPPED if action.fanout is Fanout.DROP else Outcome.SELECTED, action


def vlan_filter(ids: Iterable[int] | None) -> frozenset[int] | None:
    """A VLAN filter as users write it; raises UsageError when it names an id that does not exist."""
    if ids is None:
        return None
    hint = "0 is for packets without a tag, -1 for all ids from 1 to 4094: vlans=[0, 10]"
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise UsageError(f"a VLAN filter is a list of ids, not {ids!r}", hint=hint)
    found = list(ids)
    for each in found:
        if not isinstance(each, int) or isinstance(each, bool) or not ANY_VLAN <= each <= LAST_VLAN:
            raise UsageError(f"there is no VLAN id {each!r}", hint=hint)
    return frozenset(found)
