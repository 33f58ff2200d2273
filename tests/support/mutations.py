"""Frames damaged at random: flipped bits, changed length fields, bytes cut out or repeated."""

from __future__ import annotations

import random
from collections.abc import Sequence

LENGTH_FIELDS = (12, 14, 16, 17, 18, 20, 23, 38, 46, 47)
"""Offsets in an Ethernet frame where types, lengths and header sizes usually are."""


def mutated(frames: Sequence[bytes], count: int, seed: int) -> list[bytes]:
    """So many damaged copies."""
    dice = random.Random(seed)
    return [damaged(dice, dice.choice(frames)) for _ in range(count)]


def damaged(dice: random.Random, frame: bytes) -> bytes:
    """A copy with one to four faults."""
    data = bytearray(frame)
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        near = min(len(data), 120)
        match dice.randrange(5):
            case 0 | 1:
                data[dice.randrange(near)] ^= 1 << dice.randrange(8)
            case 2:
                at = dice.choice(LENGTH_FIELDS)
                if at < len(data):
                    data[at] = dice.choice((0, 1, 4, 5, 6, 15, 0x45, 0x60, 0x7F, 0x80, 0xFF))
            case 3:
                at = dice.randrange(near)
                del data[at : at + dice.randint(1, 8)]
            case _:
                at = dice.randrange(near)
                data[at:at] = data[at : at + dice.randint(1, 8)]
    return bytes(data)
