"""The steering table: which end-point gets which hash, in the form the kernel program reads.

A table follows its members: each change makes the next one, in which as little moves as can be (`shares`).
What it remembers of members that left is not in the form for the kernel; `memory` has it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pfq.codegen import layouts
from pfq.engine.shares import Entries, in_turn
from pfq.errors import UsageError
from pfq.lang.action import DEFAULT_CLASSES, Action, Fanout

MAX_WEIGHT = 8
WORD32 = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Member:
    """An end-point in a group; raises UsageError for another weight.

    weight   its share, 1 to 8
    classes  mask of the classes it is in
    """

    endpoint: int
    weight: int = 1
    classes: int = DEFAULT_CLASSES

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= MAX_WEIGHT:
            raise UsageError(f"an end-point has a weight of 1 to {MAX_WEIGHT}, not {self.weight}")


@dataclass(frozen=True)
class SteeringTable:
    """The eligible members of one (group, set of classes), and the entries dealt to them.

    classes  mask of the set of classes
    members  in ascending id
    """

    classes: int
    members: tuple[Member, ...]
    entries: Entries

    @classmethod
    def of(cls, members: Sequence[Member], classes: int) -> SteeringTable:
        """A table without a past, the same for the same members everywhere."""
        return cls(classes, (), Entries()).with_members(members)

    def with_members(self, members: Sequence[Member]) -> SteeringTable:
        """The table that follows when these are the members of the group.

        Only the entries of members that leave move, a new one takes its share from all others, and one
        that comes back gets the entries that it had.
        """
        eligible = sorted((each for each in members if each.classes & self.classes), key=lambda each: each.endpoint)
        entries = self.entries.dealt(weights_of(self.members), weights_of(eligible))
        return SteeringTable(self.classes, tuple(eligible), entries)

    @classmethod
    def unpack(cls, packed: bytes, classes: int, memory: bytes = b"") -> SteeringTable:
        """A table again, from what another process has left; raises UsageError when the sizes are wrong.

        The members that it has are what the bytes say, in no other class than the table's. When the bytes were
        half written, `with_members` puts it right.

        packed  as `pack` made it
        memory  as `memory` was then; without it members that come back are like new ones
        """
        if len(packed) != layouts.STEERING_BYTES:
            raise UsageError(f"a steering table has {layouts.STEERING_BYTES} bytes, not {len(packed)}")
        (turns,) = struct.unpack_from("<I", packed, layouts.TURNS)
        weights = Counter(packed[layouts.ORDER : layouts.ORDER + min(turns, layouts.TABLE_ENTRIES)])
        members = tuple(
            Member(endpoint, min(weight, MAX_WEIGHT), classes)
            for endpoint, weight in sorted(weights.items())
            if endpoint < layouts.MAX_ENDPOINTS
        )
        owners = bytes(
            owner if owner < layouts.MAX_ENDPOINTS else layouts.NOBODY_HERE
            for owner in packed[layouts.HASHED : layouts.HASHED + layouts.TABLE_ENTRIES]
        )
        return cls(classes, members, Entries(owners, remembered(memory)))

    @property
    def memory(self) -> bytes:
        """What the table remembers of members that left: for each entry how many, then their ids."""
        return b"".join(bytes([len(left)]) + left for left in self.entries.left)

    @property
    def hashed(self) -> bytes:
        """The end-point of each of the 512 entries."""
        return self.entries.owners

    @property
    def ids(self) -> bytes:
        return bytes(member.endpoint for member in self.members)

    @property
    def mask(self) -> int:
        """The members as a mask of end-points."""
        return sum(1 << member.endpoint for member in self.members)

    @cached_property
    def order(self) -> bytes:
        """Each member as often as its weight says, the turns of one spread over the whole round."""
        return bytes(in_turn(weights_of(self.members)))

    def pack(self) -> bytes:
        """The table as the kernel program reads it (`layouts`, from MEMBERS on)."""
        order = self.order
        return b"".join(
            (
                struct.pack("<QII", self.mask, len(self.members), len(order)),
                self.hashed,
                self.ids.ljust(layouts.MAX_ENDPOINTS, b"\0"),
                order.ljust(layouts.TABLE_ENTRIES, b"\0"),
            )
        )

    def select(self, action: Action, turn: int = 0) -> frozenset[int]:
        """The end-points that get a packet: the reference for what the kernel program does.

        turn  packets given out in turn on this CPU before
        """
        match action.fanout:
            case Fanout.DROP:
                return frozenset()
            case Fanout.COPY:
                return frozenset(self.ids)
            case Fanout.STEER:
                return self._entries(action.hash)
            case Fanout.DOUBLE:
                return self._entries(action.hash) | self._entries(action.hash2)
            case Fanout.ROBIN:
                return frozenset(self.order[turn % len(self.order) :][:1]) if self.members else frozenset()
            case Fanout.MEMBER:
                return frozenset(self.ids[action.hash % len(self.ids) :][:1]) if self.members else frozenset()

    def _entries(self, hashed: int) -> frozenset[int]:
        endpoint = self.hashed[mix(hashed) % layouts.TABLE_ENTRIES]
        return frozenset() if endpoint == layouts.NOBODY_HERE else frozenset([endpoint])


def weights_of(members: Sequence[Member]) -> dict[int, int]:
    return {member.endpoint: member.weight for member in members}


def mix(a: int) -> int:
    """Spreads a 32-bit steering hash over 32 bits; the original's function of 2017."""
    a = (a ^ 0xDEADBEEF) + (a << 4) & WORD32
    a ^= a >> 10
    a = a + (a << 7) & WORD32
    return a ^ a >> 13


def remembered(memory: bytes) -> tuple[bytes, ...]:
    """For each entry the members that left, from `SteeringTable.memory`; nothing is remembered by no bytes."""
    if not memory:
        return Entries().left
    found: list[bytes] = []
    at = 0
    while at < len(memory) and len(found) < layouts.TABLE_ENTRIES:
        end = at + 1 + memory[at]
        found.append(bytes(dict.fromkeys(memory[at + 1 : end])))
        at = end
    if at != len(memory) or len(found) != layouts.TABLE_ENTRIES:
        raise UsageError(
            "the memory of a steering table is damaged", hint="leave it out: only who had left is forgotten"
        )
    return tuple(found)
