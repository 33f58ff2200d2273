"""The action of one packet in one group: what a program decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

CONTROL_CLASS = 63
DEFAULT_CLASSES = 1 << 0
ANY_CLASSES = (1 << 64) - 1 & ~(1 << CONTROL_CLASS)
COUNTERS = 64
MAX_FORWARDS = 16
MAX_EVENTS = 16
WORD32 = (1 << 32) - 1


class Fanout(IntEnum):
    """Which of the eligible end-points get the packet."""

    DROP = 0
    """none"""
    COPY = 1
    """all of them"""
    STEER = 2
    """the one that the hash selects"""
    DOUBLE = 3
    """the two that the two hashes select; one copy when they are the same"""
    ROBIN = 4
    """the next one in turn on this CPU"""
    MEMBER = 5
    """number `hash mod members` in ascending id"""


class EventKind(IntEnum):
    """What a program can tell the user about a packet."""

    MESSAGE = 0
    """a text of the program"""
    BUFFER = 1
    """the first bytes of the packet"""
    PACKET = 2
    """the packet as a line"""
    TRACE = 3
    """the packet and what was decided so far"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a program tells the user; text is the message of `MESSAGE`."""

    kind: EventKind
    text: str = ""


@dataclass(slots=True)
class Action:
    """What a program decided, fan-out first, then the side effects.

    classes   mask of 64 classes
    hash      and hash2: 32-bit, mean something only for the fan-outs that use them
    counters  what was added to them, modulo 2**64
    forwards  devices to send the packet on, in the order of the calls, at most 16
    events    what the user is told, at most 16
    """

    fanout: Fanout = Fanout.COPY
    classes: int = DEFAULT_CLASSES
    hash: int = 0
    hash2: int = 0
    kernel: bool = False
    mark: int = 0
    state: int = 0
    counters: dict[int, int] = field(default_factory=dict)
    forwards: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
