"""Memory that generated code shares with the engine and with the tests: offsets in bytes.

All fields are little endian. Unlike a ring (`pfq.layout`) none of this is seen by a reader.
"""

from __future__ import annotations

from typing import Final

from pfq.lang.action import COUNTERS, MAX_EVENTS, MAX_FORWARDS
from pfq.lang.packet import HEADER_WINDOW
from pfq.layout import SLOT_SIZES

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
TAKEN: Final = 52  # u32, some group takes the packet from Linux
SPARE: Final = 56  # u64, through which values pass that the verifier must forget
FORWARD_COUNT: Final = 64  # u32
EVENT_COUNT: Final = 68  # u32
FORWARDS: Final = 72  # u16 each: number of the device, group * 256 (by place) added
EVENTS: Final = FORWARDS + 2 * MAX_FORWARDS  # u8 each: number of the call that reported
RECORD_BYTES: Final = EVENTS + MAX_EVENTS
COPY_STATE: Final = 120  # u32, of the highest group that selected the end-point whose turn it is; next to it:
COPY_GROUP: Final = 124  # u32, its number
COPY_MASK: Final = 160  # u64, those that this group selected
SELECTING: Final = 128  # u64, groups that selected somebody, the highest number at the lowest bit
TIMES: Final = 136  # u64[3], ns by each clock (`CLOCK_NUMBERS`), where end-points have different ones
FACTS: Final = 256  # u64 each: what was read of the packet
MAX_FACTS: Final = 256

# An event on its way to the user.
EVENT: Final = FACTS + MAX_FACTS * 8
EVENT_TIME: Final = 0  # u64, ns
EVENT_SITE: Final = 8  # u32, as are the following: number of the call, the generation in the upper half
EVENT_LENGTH: Final = 12  # bytes on the wire
EVENT_CAPTURED: Final = 16  # bytes that follow
EVENT_TAG: Final = 20  # tag that the device took off: control information plus 2**16, 0 for none
EVENT_TAG_TYPE: Final = 24  # its EtherType, as little endian
EVENT_INGRESS: Final = 28
EVENT_ACTION: Final = 32  # the action so far
EVENT_DATA: Final = EVENT_ACTION + ACTION_BYTES
EVENT_SNAPLEN: Final = 192
EVENT_BYTES: Final = EVENT_DATA + EVENT_SNAPLEN

# The header window of the frame as it was on the wire, for programs that want it where the device took a tag off.
WIRE: Final = (EVENT + EVENT_BYTES + 7) // 8 * 8
WIRE_BYTES: Final = HEADER_WINDOW + 8  # a word that begins with the last byte of the window ends behind it

MAX_GROUPS: Final = 64
GROUP_RESULTS: Final = WIRE + WIRE_BYTES
GROUP_RESULT_BYTES: Final = 16  # u64 end-points of this group, u32 state


def scratch_bytes(groups: int) -> int:
    """Bytes of the scratch memory of one CPU, a multiple of a cache line.

    Several groups have results, which lie where the numbers of the groups say.
    """
    results = MAX_GROUPS if groups > 1 else 1
    return (GROUP_RESULTS + results * GROUP_RESULT_BYTES + 63) // 64 * 64


# Counters of one group on one CPU, u64 each; the user's counters follow.
ARRIVED: Final = 0
FILTERED: Final = 8
DROPPED: Final = 16
SELECTIONS: Final = 24
NOBODY: Final = 32
FORWARDED: Final = 40  # copies that the program wanted to be sent on other devices
UNSENT: Final = 48  # of these, those that the kernel refused
TO_LINUX: Final = 56  # packets that the program passed up
COUNTER_OFFSETS: Final = {
    "arrived": ARRIVED,
    "filtered": FILTERED,
    "dropped": DROPPED,
    "selected": SELECTIONS,
    "nobody": NOBODY,
    "forwarded": FORWARDED,
    "unsent": UNSENT,
    "to_linux": TO_LINUX,
}
"""By the names under which users see them."""
USER_COUNTERS: Final = 64
GROUP_COUNTER_BYTES: Final = USER_COUNTERS + COUNTERS * 8
COUNTER_ROW_BYTES: Final = MAX_GROUPS * GROUP_COUNTER_BYTES
"""Counters of all groups on one CPU, by their numbers."""

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
DATA_MAP: Final = "data"
FILTERS_MAP: Final = "filters"
HOSTS_MAP: Final = "hosts"
EVENTS_MAP: Final = "events"
ENGINE_MAP: Final = "engine"


def of_group(name: str, number: int) -> str:
    """What the memory of one group is called: its steering tables, their turns, its data."""
    return f"{name}{number}"


def of_shape(slots: int, slot_bytes: int) -> str:
    """What the rings of one shape are called."""
    return f"{RINGS_MAP}{slot_bytes}x{slots}"


# What all programs of an engine share.
CLOCK_OFFSET: Final = 0  # i64, ns to add to the kernel's clock to get CLOCK_REALTIME
COARSE_OFFSET: Final = 8  # i64, the same for the coarse clock
EVENT_TURN: Final = 16  # u64, ns: when the next event is due, at the permitted rate
EVENTS_HELD_BACK: Final = 24  # u64, events over the permitted rate
EVENTS_LOST: Final = 32  # u64, events for which there was no room
BY_NS: Final = 40  # u64, mask of the end-points with the clock to the nanosecond
BY_COARSE: Final = 48  # u64, mask of those with the coarse clock
ENDPOINTS: Final = 64  # for each end-point:
ENDPOINT_SNAPLEN: Final = 0  # u32, bytes of a frame that it wants
ENDPOINT_SHAPE: Final = 4  # u32, `shape_number` of its rings
ENDPOINT_CLOCK: Final = 8  # u32, of `CLOCK_NUMBERS`
ENDPOINT_DEVICE: Final = 0  # u32, an egress one's, in the place of the snap length: its device; 0: not there
ENDPOINT_QUEUE: Final = 8  # u32, an egress one's, in the place of the clock: transmit queue plus 1; 0: any
ENDPOINT_BYTES: Final = 16
ENGINE_BYTES: Final = ENDPOINTS + MAX_ENDPOINTS * ENDPOINT_BYTES
SENDING: Final = 0  # u64 in the only slot of an egress end-point's ring: it is sending on this CPU
CLOCK_NUMBERS: Final = {"ns": 0, "coarse": 1, "none": 2}

# In the metadata of a packet, while a program moves from XDP to TC: that no program at XDP has decided about it.
MOVED_MARK: Final = 0x70667121  # u64
MOVED_BYTES: Final = 8

# Settings of one program.
GENERATION: Final = 0  # u32, shifted so that the number of a call can be added
GENERATION_SHIFT: Final = 16
TRIAL_TIME: Final = 8  # u64, ns: what programs take for the time in a trial
MAX_DEVICES: Final = 64
DEVICES: Final = 64  # for each group, by place: u32[MAX_DEVICES], devices that it forwards to; 0: not there
GROUP_DEVICES_BYTES: Final = 4 * MAX_DEVICES
CONFIG_BYTES: Final = DEVICES + GROUP_DEVICES_BYTES


def config_bytes(groups: int) -> int:
    """Bytes of the settings of a program."""
    return DEVICES + groups * GROUP_DEVICES_BYTES


def shape_number(slots: int, slot_bytes: int) -> int:
    """The number that stands for a shape of rings: what an end-point's entry says."""
    return SLOT_SIZES.index(slot_bytes) << 8 | slots.bit_length()
