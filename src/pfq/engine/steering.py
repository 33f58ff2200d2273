"""The steering table: which end-point gets which hash, in the form the kernel program reads.

Filled by weighted rendezvous hashing: every end-point draws a number for every entry of the table
and the largest wins. An end-point's draws do not depend on the others, so when one leaves only its
entries move, and when one joins it takes its share from all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pfq.codegen import layouts
from pfq.errors import UsageError
from pfq.lang.action import DEFAULT_CLASSES, Action, Fanout

MAX_WEIGHT = 8
WORD32 = (1 << 32) - 1
WORD64 = (1 << 64) - 1


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
    """The eligible members of one (group, set of classes)."""

    members: tuple[Member, ...]

    @classmethod
    def of(cls, members: Sequence[Member], classes: int) -> SteeringTable:
        """The members that are in one of the classes of the mask, in ascending id."""
        eligible = [member for member in members if member.classes & classes]
        return cls(tuple(sorted(eligible, key=lambda member: member.endpoint)))

    @property
    def ids(self) -> bytes:
        return bytes(member.endpoint for member in self.members)

    @property
    def mask(self) -> int:
        """The members as a mask of end-points."""
        return sum(1 << member.endpoint for member in self.members)

    @property
    def order(self) -> bytes:
        """Each member as often as its weight says, the turns of one spread over the whole round."""
        turns = [((turn + 0.5) / m.weight, m.endpoint) for m in self.members for turn in range(m.weight)]
        return bytes(endpoint for _, endpoint in sorted(turns))

    @property
    def hashed(self) -> bytes:
        """The end-point of each of the 512 entries."""
        if not self.members:
            return bytes([layouts.NOBODY_HERE]) * layouts.TABLE_ENTRIES
        scores = np.stack([draws(member.endpoint, member.weight) for member in self.members])
        ids = np.frombuffer(self.ids, np.uint8)
        return bytes(ids[scores.argmax(axis=0)])

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


def mix(a: int) -> int:
    """Spreads a 32-bit steering hash over 32 bits; the original's function of 2017."""
    a = (a ^ 0xDEADBEEF) + (a << 4) & WORD32
    a ^= a >> 10
    a = a + (a << 7) & WORD32
    return a ^ a >> 13


def draws(endpoint: int, weight: int) -> npt.NDArray[np.float64]:
    """What an end-point draws for each entry of the table; larger with a larger weight.

    -weight / log(u) for u uniform in (0, 1) gives every end-point the share weight / sum of weights.
    """
    seed = np.uint64((endpoint + 1) * 0x9E3779B97F4A7C15 & WORD64)
    z = seed + np.arange(1, layouts.TABLE_ENTRIES + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) + 0.5
    return -weight / np.log(uniform / 2.0**53)
