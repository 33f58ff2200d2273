"""The action of one packet in one group: what a program decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

CONTROL_CLASS = 63
DEFAULT_CLASSES = 1 << 0
ANY_CLASSES = (1 << 64) - 1 & ~(1 << CONTROL_CLASS)
COUNTERS = 64
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


@dataclass(slots=True)
class Action:
    """What a program decided, fan-out first, then the side effects.

    classes is a mask of 64 classes; hash and hash2 are 32-bit and mean something only for the
    fan-outs that use them.
    """

    fanout: Fanout = Fanout.COPY
    classes: int = DEFAULT_CLASSES
    hash: int = 0
    hash2: int = 0
    kernel: bool = False
    mark: int = 0
    state: int = 0
    counters: dict[int, int] = field(default_factory=dict)
