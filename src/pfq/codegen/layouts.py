"""Memory that generated code shares with the engine and with the tests: offsets in bytes.

All fields are little endian. Unlike a ring (`pfq.layout`) none of this is seen by a reader.
"""

from __future__ import annotations

from typing import Final

from pfq.lang.action import COUNTERS

# The action of the packet in hand, one for each CPU (the start of `SCRATCH`).
CLASSES: Final = 0  # u64
FANOUT: Final = 8  # u32, as are the following
HASH: Final = 12
HASH2: Final = 16
MARK: Final = 20
STATE: Final = 24
KERNEL: Final = 28
ACTION_BYTES: Final = 32

# What groups leave for the delivery.
SELECTED: Final = 32  # u64, mask of end-points
TIME: Final = 40  # u64, ns
PASSED_UP: Final = 48  # u32, some group wants the packet to go to Linux
FACTS: Final = 256  # u64 each: what was read from the headers
MAX_FACTS: Final = 128

GROUP_RESULTS: Final = FACTS + MAX_FACTS * 8
GROUP_RESULT_BYTES: Final = 16  # u64 end-points of this group, u32 state


def scratch_bytes(groups: int) -> int:
    """Bytes of the scratch memory of one CPU, a multiple of a cache line."""
    return (GROUP_RESULTS + groups * GROUP_RESULT_BYTES + 63) // 64 * 64


# Counters of one group on one CPU, u64 each; the user's counters follow.
ARRIVED: Final = 0
FILTERED: Final = 8
DROPPED: Final = 16
SELECTIONS: Final = 24
NOBODY: Final = 32
USER_COUNTERS: Final = 64
GROUP_COUNTER_BYTES: Final = USER_COUNTERS + COUNTERS * 8

# The steering table of one (group, set of classes).
MEMBERS: Final = 0  # u64, mask of the eligible end-points
MEMBER_COUNT: Final = 8  # u32
TURNS: Final = 12  # u32, entries of `ORDER` in use
HASHED: Final = 16  # u8[512], end-point of each hash; NOBODY_HERE when there is none
TABLE_ENTRIES: Final = 512
IDS: Final = 528  # u8[64], the eligible end-points in ascending order
ORDER: Final = 592  # u8[512], each end-point as often as its weight says
STEERING_BYTES: Final = 1104
NOBODY_HERE: Final = 0xFF

MAX_ENDPOINTS: Final = 64

# Map names, as the generated code refers to them.
SCRATCH_MAP: Final = "scratch"
COUNTERS_MAP: Final = "counters"
STEERING_MAP: Final = "steering"
ROBIN_MAP: Final = "robin"
CONFIG_MAP: Final = "config"
RINGS_MAP: Final = "rings"
CONSUMERS_MAP: Final = "consumers"
DOORBELLS_MAP: Final = "doorbells"

# The engine's settings for the running program.
CLOCK_OFFSET: Final = 0  # i64, ns to add to the kernel's clock to get CLOCK_REALTIME
CONFIG_BYTES: Final = 64
