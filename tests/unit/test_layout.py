"""The table of the shared memory: nothing overlaps, everything is aligned, and version 1 does not change."""

from __future__ import annotations

import pytest

from pfq import layout
from pfq.layout import CONSUMER, PRODUCER, SLOT, Member

STRUCTURES = {
    "slot": (SLOT, layout.SLOT_HEADER_BYTES),
    "producer": (PRODUCER, layout.PRODUCER_BYTES),
    "consumer": (CONSUMER, layout.CONSUMER_BYTES),
}
INSIDE = {
    "record": (layout.RECORD, layout.RECORD_BYTES),
    "headers": (layout.HEADERS, layout.HEADERS_BYTES),
    "verdict": (layout.VERDICT, layout.VERDICT_BYTES),
}
"""What does not leave the process."""


@pytest.mark.parametrize(("members", "size"), (STRUCTURES | INSIDE).values(), ids=list(STRUCTURES | INSIDE))
def test_members_are_aligned_and_apart(members: tuple[Member, ...], size: int) -> None:
    end = 0
    for member in members:
        assert member.bits in (8, 16, 32, 64, 128)
        assert member.offset % min(8, member.bits // 8) == 0
        assert member.offset >= end
        assert member.doc
        end = member.offset + member.bits // 8
    assert end <= size


def test_version_1() -> None:
    assert layout.VERSION == 1
    assert {name: size for name, (_, size) in STRUCTURES.items()} == {"slot": 32, "producer": 64, "consumer": 128}
    fields = {f"{name}.{m.name}": (m.offset, m.bits) for name, (members, _) in STRUCTURES.items() for m in members}
    assert fields == {
        "slot.ts_ns": (0, 64),
        "slot.len": (8, 32),
        "slot.ifindex": (12, 32),
        "slot.mark": (16, 32),
        "slot.state": (20, 32),
        "slot.caplen": (24, 16),
        "slot.queue": (26, 16),
        "slot.vlan_tci": (28, 16),
        "slot.group": (30, 16),
        "producer.head": (0, 64),
        "producer.tail_seen": (8, 64),
        "producer.lost": (16, 64),
        "consumer.tail": (0, 64),
        "consumer.sleeping": (64, 32),
    }


def test_what_the_reader_writes_lies_on_two_cache_lines() -> None:
    tail, sleeping = CONSUMER
    assert tail.offset // 64 != sleeping.offset // 64


@pytest.mark.parametrize(
    ("snaplen", "size"),
    [(1, 128), (96, 128), (97, 256), (224, 256), (225, 512), (2016, 2048), (2017, 4096), (9312, 9344), (65568, 65600)],
)
def test_slot_bytes(snaplen: int, size: int) -> None:
    assert layout.slot_bytes(snaplen) == size


def test_the_largest_snap_length() -> None:
    with pytest.raises(ValueError, match="snap length 65569 is over 65568 bytes"):
        layout.slot_bytes(65569)


def test_slot_sizes_are_multiples_of_a_word() -> None:
    assert list(layout.SLOT_SIZES) == sorted(layout.SLOT_SIZES)
    assert all(size % 8 == 0 for size in layout.SLOT_SIZES)
