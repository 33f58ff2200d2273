"""Which rings suit a snap length and a number of slots."""

from __future__ import annotations

from typing import Final, Literal

from pfq import layout
from pfq.codegen.finish import Clock
from pfq.codegen.memory import LONGEST_SNAPLEN, RingShape
from pfq.errors import UsageError

LINK_HEADER_BYTES: Final = 14 + 2 * 4
DEFAULT_SLOTS: Final = 4096
RING_BYTES: Final = 8 << 20
"""A ring is not larger than this unless the caller says how many slots it has."""
MAX_SLOTS: Final = 1 << 18
USUAL_MTU: Final = 1500

ClockName = Literal["ns", "coarse", "none"]


def shape_for(mtu: int, snaplen: int | None, slots: int | None) -> RingShape:
    """The rings for a snap length in bytes and a number of slots, or for what suits an MTU."""
    for what, number in (("snap length", snaplen), ("number of slots", slots)):
        if not isinstance(number, int | None):
            raise UsageError(f"the {what} is a whole number, not {number!r}")
    wanted = min(mtu + LINK_HEADER_BYTES, LONGEST_SNAPLEN) if snaplen is None else snaplen
    if not 1 <= wanted <= LONGEST_SNAPLEN:
        raise UsageError(f"the snap length is 1 to {LONGEST_SNAPLEN} bytes, not {snaplen}")
    slot_bytes = layout.slot_bytes(wanted)
    if snaplen is None:
        # What the slot has room for anyway.
        wanted = min(slot_bytes - layout.SLOT_HEADER_BYTES, LONGEST_SNAPLEN)
    if slots is None:
        slots = min(DEFAULT_SLOTS, RING_BYTES // slot_bytes)
    if not 1 <= slots <= MAX_SLOTS:
        raise UsageError(f"a ring has 1 to {MAX_SLOTS} slots, not {slots}")
    # The kernel must see a mask of more than nothing.
    return RingShape(slots=max(2, 1 << (slots - 1).bit_length()), slot_bytes=slot_bytes, snaplen=wanted)


def clock_named(name: str) -> Clock:
    try:
        return Clock(name)
    except ValueError:
        raise UsageError(f"there is no clock `{name}`", hint="clocks are ns, coarse and none") from None
