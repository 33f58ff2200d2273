"""What programs tell the user about packets: `log_msg`, `log_buff`, `log_packet` and `trace`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pfq.codegen import layouts
from pfq.kernel.maps import Map
from pfq.kernel.ringbuf import RingBuffer
from pfq.lang.action import DEFAULT_CLASSES, Action, Event, EventKind, Fanout
from pfq.lang.packet import MACS_BYTES

_HEAD = struct.Struct("<Q6I")
_ACTION = struct.Struct("<Q6I")
KEPT_GENERATIONS = 1024


@dataclass(frozen=True, slots=True)
class ProgramEvent:
    """One thing that a program told about one packet.

    kind     what it told
    text     the message, of `log_msg`
    ts_ns    when, CLOCK_REALTIME in ns
    len      bytes of the packet on the wire
    data     its first bytes, at most 192, a VLAN tag that the device took off put back
    ifindex  the receiving device
    action   what the group had decided by then; without counters, forwards and events
    group    the number of the group
    """

    kind: EventKind
    text: str
    ts_ns: int
    len: int
    data: bytes
    ifindex: int
    action: Action
    group: int = 0

    def __str__(self) -> str:
        match self.kind:
            case EventKind.MESSAGE:
                return self.text
            case EventKind.BUFFER:
                return f"[{self.len} bytes] {self.data[:34].hex(' ')}"
            case EventKind.PACKET:
                return f"[{self.len} bytes]"
            case EventKind.TRACE:
                return f"[{self.len} bytes] {traced(self.action)}"


def traced(action: Action) -> str:
    """What a program has decided so far, on one line."""
    parts = [f"fan-out {action.fanout.name.lower()}"]
    if action.fanout in (Fanout.STEER, Fanout.DOUBLE):
        parts.append(f"hash {action.hash:#010x}")
    if action.fanout is Fanout.DOUBLE:
        parts.append(f"hash2 {action.hash2:#010x}")
    if action.fanout is Fanout.MEMBER:
        parts.append(f"number {action.hash}")
    if action.classes != DEFAULT_CLASSES:
        parts.append(f"classes {action.classes:#x}")
    parts += [f"mark {action.mark}", f"state {action.state}"]
    if action.kernel:
        parts.append("to Linux")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Site:
    """A call that reports something: of which group, and what."""

    group: int
    event: Event


class EventReader:
    """Reads the events of an engine's programs."""

    def __init__(self, table: Map) -> None:
        self._ring = RingBuffer(table)
        self._sites: dict[int, list[Site]] = {}

    def know(self, generation: int, sites: list[Site]) -> None:
        """What a program reports, by number."""
        self._sites[generation] = sites
        # Events of programs that were replaced long ago have been read, or will not be.
        while len(self._sites) > KEPT_GENERATIONS:
            del self._sites[next(iter(self._sites))]

    def events(self, clock_offset: int) -> Iterator[ProgramEvent]:
        """Those that came since the last call; clock_offset is what to add to the monotonic clock, in ns."""
        for record in self._ring.records():
            if (event := self._event(record, clock_offset)) is not None:
                yield event

    def _event(self, record: bytes, clock_offset: int) -> ProgramEvent | None:
        time, site, length, captured, tag, tag_type, ingress = _HEAD.unpack_from(record)
        data = record[layouts.EVENT_DATA : layouts.EVENT_DATA + captured]
        if tag:
            put_back = struct.pack("<H", tag_type & 0xFFFF) + struct.pack(">H", tag & 0xFFFF)
            data = (data[:MACS_BYTES] + put_back + data[MACS_BYTES:])[: layouts.EVENT_SNAPLEN]
        known = self._sites.get(site >> layouts.GENERATION_SHIFT)
        if known is None:
            return None
        found = known[site & (1 << layouts.GENERATION_SHIFT) - 1]
        action = action_of(record[layouts.EVENT_ACTION :])
        kind, text = found.event.kind, found.event.text
        return ProgramEvent(kind, text, time + clock_offset, length, data, ingress, action, found.group)

    def close(self) -> None:
        self._ring.close()


def action_of(record: bytes) -> Action:
    classes, fanout, hashed, hash2, mark, state, kernel = _ACTION.unpack_from(record)
    return Action(Fanout(fanout), classes, hashed, hash2, bool(kernel), mark, state)
