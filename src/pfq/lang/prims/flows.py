"""Per-flow state: a number for each flow, in a table of fixed size from which idle flows go first.

The table is made of buckets of four entries. The fingerprint of a flow selects its bucket; a flow
that is new in a full bucket takes the entry that was used longest ago. Times count from 1, so that
an empty entry, which is all 0, is older than all others.

In the kernel CPUs share the table without locks. Who takes an entry first marks it as busy, in one
atomic step, so that no two fill the same one. What a race can cost is an update; and one that comes
in the moment in which its flow is replaced may reach the next flow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pfq.lang.interp import Machine
from pfq.lang.prims.emitter import Code, Emitter, Memory
from pfq.lang.prims.fields import check_key, lower_values, values
from pfq.lang.prims.fingerprint import WHOLE_FIELDS, WORD64, fingerprint, lower_fingerprint
from pfq.lang.prims.table import Prim

WAYS: Final = 4
MIN_FLOWS, MAX_FLOWS = 8, 1 << 20
SECOND_NS: Final = 1_000_000_000

# An entry, u64 each. Its last 8 bytes are unused.
FINGERPRINT, SEEN, VALUE, ENTRY_BYTES = 0, 8, 16, 32
BUCKET_SHIFT: Final = 7
"""A bucket has 128 bytes."""

BUSY, NOBODY = 1, 2
"""No fingerprints: what stands for one while its entry is being filled, and for that of a packet without the key."""


@dataclass(slots=True)
class Entry:
    fingerprint: int = 0
    seen: int = 0
    value: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """The table of all calls with the same three arguments: key, flows, idle time-out in seconds."""

    key: int
    size: int
    timeout: int

    @property
    def buckets(self) -> int:
        return max(MIN_FLOWS, 1 << (self.size - 1).bit_length()) // WAYS

    @property
    def idle_ns(self) -> int:
        return self.timeout * SECOND_NS

    @property
    def name(self) -> tuple[str, int, int, int]:
        return "flows", self.key, self.size, self.timeout

    def bucket(self, m: Machine, number: int) -> list[Entry]:
        buckets = m.memory.setdefault(self.name, {})
        entries: list[Entry] = buckets.setdefault(number % self.buckets, [Entry() for _ in range(WAYS)])
        return entries


def find(m: Machine, table: Table, wanted: int) -> Entry | None:
    """The entry of a flow that has not been idle for too long; it is in use again."""
    now = m.world.now_ns + 1
    for entry in table.bucket(m, wanted):
        if entry.fingerprint == wanted and now < entry.seen + table.idle_ns:
            entry.seen = now
            return entry
    return None


def flow_get(m: Machine, key: int, size: int, timeout: int) -> int | None:
    found, table = values(m, key, WHOLE_FIELDS), Table(key, size, timeout)
    entry = None if found is None else find(m, table, fingerprint(found))
    return None if entry is None else entry.value


def update(m: Machine, table: Table, change: Callable[[int], int]) -> bool:
    """Changes the number of the packet's flow, which is 0 for a new one."""
    found = values(m, table.key, WHOLE_FIELDS)
    if found is not None:
        wanted = fingerprint(found)
        entry = find(m, table, wanted)
        if entry is None:
            entry = min(table.bucket(m, wanted), key=lambda entry: entry.seen)
            entry.fingerprint, entry.seen, entry.value = wanted, m.world.now_ns + 1, 0
        entry.value = change(entry.value) & WORD64
    return True


@dataclass(frozen=True, slots=True)
class Search:
    """What the code that looks for a flow leaves.

    known   the flow has an entry, at `own`
    victim  where the entry is that it may take, with the fingerprint `taken`
    now     the time that is written into entries
    """

    memory: Memory
    wanted: Code
    now: Code
    known: Code
    own: Code
    victim: Code
    taken: Code


def lower_find(e: Emitter, table: Table, wanted: Code) -> Search:
    memory = e.shared_under(table.name, table.buckets * WAYS * ENTRY_BYTES)
    wanted, now = e.forget(wanted), e.add(e.now(), e.number(1))
    start = e.shl(wanted, BUCKET_SHIFT)
    known, own, victim, oldest, taken = e.truth(False), start, start, e.number(WORD64), e.number(0)
    # from the last entry to the first, so that the first of equals wins
    for way in reversed(range(WAYS)):
        at = e.add(start, e.number(way * ENTRY_BYTES))
        owner, seen = e.read(memory, at, 8), e.read(memory, place(e, at, SEEN), 8)
        hit = e.both(e.compare("==", owner, wanted), e.compare("<", now, e.add(seen, e.number(table.idle_ns))))
        known, own = e.either(known, hit), e.select(hit, at, own)
        older = e.compare("<=", seen, oldest)
        oldest, victim, taken = (
            e.select(older, seen, oldest),
            e.select(older, at, victim),
            e.select(older, owner, taken),
        )
    return Search(memory, wanted, now, known, e.forget(own), victim, taken)


def place(e: Emitter, entry: Code, field: int) -> Code:
    return e.add(entry, e.number(field))


def lower_take(e: Emitter, search: Search, entry: Code, value: int) -> None:
    """Gives the entry to a flow that has none; nobody gets it when another CPU is filling it."""

    def fill() -> None:
        e.write(search.memory, place(e, entry, VALUE), 8, e.number(value))
        e.write(search.memory, place(e, entry, SEEN), 8, search.now)
        e.exchange(search.memory, entry, e.number(BUSY), search.wanted)

    mine = e.exchange(search.memory, entry, search.taken, e.number(BUSY))
    e.branch(e.both(mine, e.compare("!=", search.taken, e.number(BUSY))), fill, lambda: None)


def lower_get(e: Emitter, key: int, size: int, timeout: int) -> tuple[Code, Code]:
    present, found = lower_values(e, key, WHOLE_FIELDS)
    wanted = e.select(present, lower_fingerprint(e, found), e.number(NOBODY))
    search = lower_find(e, Table(key, size, timeout), wanted)
    e.branch(search.known, lambda: e.write(search.memory, place(e, search.own, SEEN), 8, search.now), lambda: None)
    return search.known, e.read(search.memory, place(e, search.own, VALUE), 8)


def lower_update(e: Emitter, table: Table, change: Callable[[Memory, Code], None], first: int) -> None:
    """Changes the number of the packet's flow.

    change  does it where the number is
    first   the number of a new flow
    """
    present, found = lower_values(e, table.key, WHOLE_FIELDS)

    def look() -> None:
        search = lower_find(e, table, lower_fingerprint(e, found))
        victim = e.forget(search.victim)

        def known() -> None:
            change(search.memory, place(e, search.own, VALUE))
            e.write(search.memory, place(e, search.own, SEEN), 8, search.now)

        e.branch(search.known, known, lambda: lower_take(e, search, victim, first))

    e.branch(present, look, lambda: None)


def lower_put(e: Emitter, key: int, size: int, timeout: int, value: int) -> None:
    def put(memory: Memory, offset: Code) -> None:
        e.write(memory, offset, 8, e.number(value))

    lower_update(e, Table(key, size, timeout), put, value)


def lower_inc(e: Emitter, key: int, size: int, timeout: int) -> None:
    def add_one(memory: Memory, offset: Code) -> None:
        e.add_to(memory, offset, e.number(1))

    lower_update(e, Table(key, size, timeout), add_one, 1)


def check_table(key: int, size: int, timeout: int, value: int = 0) -> str | None:
    if (fault := check_key(key)) is not None:
        return fault
    if not 1 <= size <= MAX_FLOWS:
        return f"there is no table for {size} flows: give 1 to {MAX_FLOWS}"
    if timeout == 0:
        return "flows that are forgotten after 0 seconds keep nothing: give 1 or more"
    return None


ROWS: tuple[Prim, ...] = (
    Prim(
        name="flow_get",
        type="Word64 -> CInt -> Word32 -> Packet -> Word64",
        doc="The number that the packet's flow has in the table of this key, number of flows and idle time-out in "
        "seconds, absent when the flow is not in there or the packet lacks a field of the key.",
        run=flow_get,
        lower=lower_get,
        example="when (flow_get key_5tuple 65536 60 .> 10) kernel",
        family="property",
        check=check_table,
    ),
    Prim(
        name="flow_put",
        type="Word64 -> CInt -> Word32 -> Word64 -> Packet -> Action Packet",
        doc="Gives the packet's flow a number, the last argument, in the table of this key, number of flows and idle "
        "time-out in seconds.",
        run=lambda m, key, size, timeout, value: update(m, Table(key, size, timeout), lambda old: value),
        lower=lower_put,
        example="when is_syn (flow_put key_5tuple 65536 60 1)",
        family="state",
        check=check_table,
    ),
    Prim(
        name="flow_inc",
        type="Word64 -> CInt -> Word32 -> Packet -> Action Packet",
        doc="Adds one to the number of the packet's flow, 0 for a new one, in the table of this key, number of flows "
        "and idle time-out in seconds.",
        run=lambda m, key, size, timeout: update(m, Table(key, size, timeout), lambda old: old + 1),
        lower=lower_inc,
        example="flow_inc key_5tuple 65536 60",
        family="state",
        check=check_table,
    ),
)
