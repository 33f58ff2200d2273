"""What a program tells about packets, beside the packets themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from pfq.lang.action import EventKind

if TYPE_CHECKING:
    from pfq.cli.decode import Decoder
    from pfq.cli.printing.stamps import Stamp
    from pfq.engine.events import ProgramEvent


class Told(Protocol):
    """Where events come from: a capture, or files."""

    def events(self) -> list[ProgramEvent]:
        """Those that came since the last call."""


@dataclass(frozen=True, slots=True)
class EventLines:
    """Prints events as lines."""

    told: Told
    decoder: Decoder
    stamp: Stamp
    talk: TextIO

    def __call__(self) -> None:
        """Those that came since the last call."""
        for event in self.told.events():
            said = str(event)
            if event.kind in (EventKind.PACKET, EventKind.TRACE):
                said = f"{self.decoder.decode(event.data, event.len).text} {said}"
            print(f"{self.stamp(event.ts_ns)}[program] {said}", file=self.talk, flush=True)


@dataclass(frozen=True, slots=True)
class EventRecords:
    """Prints them as JSON objects."""

    told: Told
    talk: TextIO

    def __call__(self) -> None:
        """Those that came since the last call."""
        for event in self.told.events():
            print(json.dumps(self.record(event)), file=self.talk, flush=True)

    @staticmethod
    def record(event: ProgramEvent) -> dict[str, object]:
        action = event.action
        return {
            "type": "event",
            "kind": event.kind.name.lower(),
            "text": event.text,
            "ts_ns": event.ts_ns,
            "len": event.len,
            "data": event.data.hex(),
            "ifindex": event.ifindex,
            "fanout": action.fanout.name.lower(),
            "hash": action.hash,
            "hash2": action.hash2,
            "classes": action.classes,
            "mark": action.mark,
            "state": action.state,
            "kernel": action.kernel,
        }


Tell = Callable[[], None]
"""Prints what came since the last call."""
