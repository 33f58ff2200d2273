"""Dealing the entries of a steering table: who gets how many, and which ones move when members change.

Three rules, the first one the strongest:

1. Every member has its exact share of the entries, rounded down or up.
2. Between two members that stay nothing moves, unless rule 1 leaves no other way.
3. A member that comes back gets the entries that it had when it left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from pfq.codegen.layouts import NOBODY_HERE, TABLE_ENTRIES

WORD64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of a table.

    owners  the end-point of each entry, or NOBODY_HERE
    left    for each entry the members that had it when they left and are not back, the last one at the end
    """

    owners: bytes = bytes([NOBODY_HERE]) * TABLE_ENTRIES
    left: tuple[bytes, ...] = (b"",) * TABLE_ENTRIES

    def dealt(self, before: Mapping[int, int], weights: Mapping[int, int]) -> Entries:
        """The entries for other members, end-point to weight; the result depends on nothing but what is given."""
        return Deal(self, before, weights).entries()


class Deal:
    """One change of members, in steps."""

    def __init__(self, entries: Entries, before: Mapping[int, int], weights: Mapping[int, int]) -> None:
        self._weights = weights
        self._owners = bytearray(entries.owners)
        self._left = list(entries.left)
        self._take_from_leavers()
        held = Counter(self._owners)
        del held[NOBODY_HERE]
        self._joining = weights.keys() - held.keys()
        self._claims = dict(self._claimed())
        steady = {member for member in held if before.get(member) == weights[member]}
        shares = targets(weights, self._wanted(held, steady), held, steady)
        self._room = {member: share - held[member] for member, share in shares.items()}

    def _take_from_leavers(self) -> None:
        for entry, owner in enumerate(self._owners):
            if owner not in self._weights:
                if owner != NOBODY_HERE:
                    self._left[entry] += bytes([owner])
                self._owners[entry] = NOBODY_HERE

    def _claimed(self) -> Iterable[tuple[int, int]]:
        """The entries that members had who come back; of several the one that left first."""
        for entry in SCATTERED:
            for member in self._left[entry]:
                if member in self._joining:
                    yield entry, member
                    break

    def _wanted(self, held: Mapping[int, int], steady: Set[int]) -> dict[int, int]:
        """How many entries each member had best have: what is claimed, what it has, or else its quota."""
        wanted = {**quotas(self._weights), **{member: held[member] for member in steady}}
        wanted.update(Counter(self._claims.values()))
        for entry in self._claims:
            if self._owners[entry] in steady:
                wanted[self._owners[entry]] -= 1
        return wanted

    def entries(self) -> Entries:
        """Carries it out."""
        if self._weights:
            self._give_back()
            self._even_out()
        return Entries(bytes(self._owners), tuple(map(self._still_away, self._left)))

    def _give_back(self) -> None:
        for entry, member in self._claims.items():
            owner = self._owners[entry]
            if self._room[member] > 0 and (owner == NOBODY_HERE or self._room[owner] < 0):
                self._move(entry, member)
                self._left[entry] = self._left[entry].partition(bytes([member]))[0]

    def _even_out(self) -> None:
        """What nobody has, and what members have too much, to those who have too little."""
        pool = [entry for entry in SCATTERED if self._owners[entry] == NOBODY_HERE]
        for member in sorted(self._weights):
            if self._room[member] < 0:
                pool += self._given_up(member, -self._room[member])
        receivers = in_turn({member: room for member, room in self._room.items() if room > 0})
        for entry, member in zip(self._by_memory(pool), receivers, strict=True):
            self._move(entry, member)

    def _given_up(self, member: int, count: int) -> list[int]:
        """Entries of a member for others.

        When somebody comes back they are those that a third one is to get back, so that all of several
        members get their entries again, in whatever order they come. Otherwise some of every kind.
        """
        own = self._by_memory(entry for entry in SCATTERED if self._owners[entry] == member)
        borrowed = [entry for entry in own if self._still_away(self._left[entry])] if self._claims else []
        if len(borrowed) >= count:
            return spread(borrowed, count)
        known = set(borrowed)
        return borrowed + spread([entry for entry in own if entry not in known], count - len(borrowed))

    def _by_memory(self, entries: Iterable[int]) -> list[int]:
        """Those with the same memory side by side, so that all who get some get some of these."""
        return sorted(entries, key=lambda entry: (self._still_away(self._left[entry]), PLACE[entry]))

    def _still_away(self, left: bytes) -> bytes:
        return bytes(member for member in left if member not in self._weights) if left else left

    def _move(self, entry: int, member: int) -> None:
        if self._owners[entry] != NOBODY_HERE:
            self._room[self._owners[entry]] += 1
        self._room[member] -= 1
        self._owners[entry] = member


def quotas(weights: Mapping[int, int]) -> dict[int, int]:
    """How many entries each member has by the largest remainders of the exact shares; of equal ones the lower id."""
    nothing = dict.fromkeys(weights, 0)
    return targets(weights, nothing, nothing, frozenset())


def targets(
    weights: Mapping[int, int], wanted: Mapping[int, int], held: Mapping[int, int], steady: Set[int]
) -> dict[int, int]:
    """Exact shares rounded down or up, as near as possible to what is wanted, so that they make up the table.

    held    what each member has now
    steady  members that stay as they are; nothing should move from one of them to another
    """
    whole = sum(weights.values())
    exact = {member: divmod(TABLE_ENTRIES * weight, whole) for member, weight in weights.items()}
    low = {member: share for member, (share, _) in exact.items()}
    high = {member: share + (rest > 0) for member, (share, rest) in exact.items()}
    found = {member: min(max(wanted[member], low[member]), high[member]) for member in weights}
    missing = TABLE_ENTRIES - sum(found.values())
    step, limit = (1, high) if missing > 0 else (-1, low)

    def reluctance(member: int) -> tuple[int, int, int]:
        gets = (found[member] - held[member]) * step
        moves = (0 if gets < 0 else 2) if member in steady else (1 if gets >= 0 else 2)
        return moves, -step * exact[member][1], step * member

    for member in sorted((each for each in weights if found[each] != limit[each]), key=reluctance)[: abs(missing)]:
        found[member] += step
    return found


def in_turn(counts: Mapping[int, int]) -> list[int]:
    """Each end-point as often as counted, the turns of one spread over the whole round."""
    turns = [((turn + 0.5) / count, endpoint) for endpoint, count in counts.items() for turn in range(count)]
    return [endpoint for _, endpoint in sorted(turns)]


def spread(items: Sequence[int], count: int) -> list[int]:
    """Some of the items, at equal distances."""
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]


def scattered(entry: int) -> int:
    """A number for an entry that looks random (splitmix64).

    Entries must not be dealt by their own bits: `mix` leaves the lowest bit alone when hashes differ in
    their highest byte only, as those of the hosts of a /24 do, and of two members one would get all.
    """
    z = (entry + 1) * 0x9E3779B97F4A7C15 & WORD64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD64
    return z ^ z >> 31


SCATTERED = tuple(sorted(range(TABLE_ENTRIES), key=scattered))
"""The entries in the order in which they are dealt."""
PLACE = {entry: place for place, entry in enumerate(SCATTERED)}
