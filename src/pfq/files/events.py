"""What programs tell about packets of files."""

from __future__ import annotations

from pfq.codegen.layouts import EVENT_SNAPLEN
from pfq.columns.records import Records
from pfq.engine.events import ProgramEvent, action_of
from pfq.lang.action import Event


def program_event(site: Event, action: bytes, frames: Records, i: int) -> ProgramEvent:
    """The event of packet `i`; its time and its device are those of the file.

    action  what the program had decided by then, as generated code leaves it
    """
    record = frames.array[i]
    return ProgramEvent(
        kind=site.kind,
        text=site.text,
        ts_ns=int(record["ts_ns"]),
        len=int(record["len"]),
        data=frames.bytes(i)[:EVENT_SNAPLEN],
        ifindex=int(record["interface"]),
        action=action_of(action),
    )
