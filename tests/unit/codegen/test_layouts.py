"""The memory that generated code shares with the engine: nothing overlaps."""

from __future__ import annotations

import ctypes
from itertools import pairwise

import pytest

from pfq.codegen import data, layouts
from pfq.codegen.data import DataPlan
from pfq.codegen.layouts import scratch_bytes
from pfq.codegen.memory import DeviceMemory, RingShape
from pfq.codegen.native import ActionRecord
from pfq.lang.action import COUNTERS, MAX_EVENTS, MAX_FORWARDS, Action, Event, EventKind, Fanout
from pfq.layout import SLOT_SIZES

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)


def test_the_action_lies_where_native_code_reads_it() -> None:
    offsets = {name: getattr(ActionRecord, name).offset for name, *_ in ActionRecord._fields_ if name[0] != "_"}
    assert offsets == {
        "classes": layouts.CLASSES,
        "fanout": layouts.FANOUT,
        "hash": layouts.HASH,
        "hash2": layouts.HASH2,
        "mark": layouts.MARK,
        "state": layouts.STATE,
        "kernel": layouts.KERNEL,
        "forward_count": layouts.FORWARD_COUNT,
        "event_count": layouts.EVENT_COUNT,
        "forwards": layouts.FORWARDS,
        "events": layouts.EVENTS,
    }
    assert ActionRecord.kernel.offset + 4 == layouts.ACTION_BYTES
    assert ctypes.sizeof(ActionRecord) == layouts.RECORD_BYTES
    assert (ctypes.sizeof(ActionRecord().forwards), ctypes.sizeof(ActionRecord().events)) == (2 * 16, 16)


def test_an_action_is_read_with_the_names_of_the_plan() -> None:
    plan = DataPlan(devices=["eth0", "eth1"], sites=[Event(EventKind.TRACE), Event(EventKind.MESSAGE, "seen")])
    record = ActionRecord(classes=5, fanout=Fanout.DOUBLE, hash=1, hash2=2, mark=3, state=4, kernel=1)
    record.forward_count, record.event_count = 3, 2
    record.forwards[:4] = [1, 0, 7 << 8 | 1, 1]  # the upper byte is the group's
    record.events[:3] = [1, 0, 1]
    assert record.action({6: 7}, plan) == Action(
        fanout=Fanout.DOUBLE,
        classes=5,
        hash=1,
        hash2=2,
        kernel=True,
        mark=3,
        state=4,
        counters={6: 7},
        forwards=["eth1", "eth0", "eth1"],
        events=[Event(EventKind.MESSAGE, "seen"), Event(EventKind.TRACE)],
    )


def do_not_overlap(*fields: tuple[int, int]) -> None:
    """Fields are (offset, size)."""
    assert all(at + size <= following for (at, size), (following, _) in pairwise(fields))


def test_scratch_memory_does_not_overlap() -> None:
    do_not_overlap(
        (layouts.CLASSES, layouts.ACTION_BYTES),
        (layouts.SELECTED, 8),
        (layouts.TIME, 8),
        (layouts.PASSED_UP, 4),
        (layouts.TAKEN, 4),
        (layouts.SPARE, 8),
        (layouts.FORWARD_COUNT, 4),
        (layouts.EVENT_COUNT, 4),
        (layouts.FORWARDS, 2 * MAX_FORWARDS),
        (layouts.EVENTS, MAX_EVENTS),
        (layouts.COPY_STATE, 4),
        (layouts.COPY_GROUP, 4),
        (layouts.SELECTING, 8),
        (layouts.TIMES, 8 * len(layouts.CLOCK_NUMBERS)),
        (layouts.COPY_MASK, 8),
        (layouts.FACTS, 8 * layouts.MAX_FACTS),
        (layouts.EVENT, layouts.EVENT_BYTES),
        (layouts.WIRE, layouts.WIRE_BYTES),
        (layouts.GROUP_RESULTS, layouts.GROUP_RESULT_BYTES),
    )
    assert layouts.RECORD_BYTES == layouts.EVENTS + MAX_EVENTS
    assert layouts.WIRE % 8 == layouts.GROUP_RESULTS % 8 == 0


def test_an_event_does_not_overlap() -> None:
    words = ("SITE", "LENGTH", "CAPTURED", "TAG", "TAG_TYPE", "INGRESS")
    do_not_overlap(
        (layouts.EVENT_TIME, 8),
        *((getattr(layouts, f"EVENT_{name}"), 4) for name in words),
        (layouts.EVENT_ACTION, layouts.ACTION_BYTES),
        (layouts.EVENT_DATA, layouts.EVENT_SNAPLEN),
        (layouts.EVENT_BYTES, 0),
    )


def test_settings_of_an_engine_do_not_overlap() -> None:
    do_not_overlap(
        (layouts.CLOCK_OFFSET, 8),
        (layouts.COARSE_OFFSET, 8),
        (layouts.EVENT_TURN, 8),
        (layouts.EVENTS_HELD_BACK, 8),
        (layouts.EVENTS_LOST, 8),
        (layouts.BY_NS, 8),
        (layouts.BY_COARSE, 8),
        (layouts.ENDPOINTS, layouts.MAX_ENDPOINTS * layouts.ENDPOINT_BYTES),
        (layouts.ENGINE_BYTES, 0),
    )
    entry = (layouts.ENDPOINT_SNAPLEN, layouts.ENDPOINT_SHAPE, layouts.ENDPOINT_CLOCK)
    do_not_overlap(*((at, 4) for at in entry), (layouts.ENDPOINT_BYTES, 0))


def test_settings_of_a_program_do_not_overlap() -> None:
    do_not_overlap(
        (layouts.GENERATION, 4),
        (layouts.TRIAL_TIME, 8),
        (layouts.DEVICES, 4 * layouts.MAX_DEVICES),
        (layouts.CONFIG_BYTES, 0),
    )
    assert layouts.DEVICES % 4 == 0
    assert layouts.config_bytes(1) == layouts.CONFIG_BYTES
    assert layouts.config_bytes(64) == layouts.DEVICES + 64 * 4 * layouts.MAX_DEVICES


def test_shapes_of_rings_have_different_numbers() -> None:
    shapes = [(1 << n, size) for n in range(1, 19) for size in SLOT_SIZES]
    assert len({layouts.shape_number(*shape) for shape in shapes}) == len(shapes)
    assert len({layouts.of_shape(*shape) for shape in shapes}) == len(shapes)


def test_numbers_fit_their_field() -> None:
    """A forward is the number of its device and, in the upper byte, of its group; an event is u8."""
    assert layouts.MAX_DEVICES <= 1 << 8
    assert data.MAX_SITES <= 1 << 8


@pytest.mark.parametrize("groups", [1, 2, 64])
def test_the_scratch_of_a_cpu_is_whole_cache_lines(groups: int) -> None:
    size = scratch_bytes(groups)
    assert size % 64 == 0
    results = 1 if groups == 1 else layouts.MAX_GROUPS
    assert layouts.GROUP_RESULTS + results * layouts.GROUP_RESULT_BYTES <= size


def test_counters_of_a_group() -> None:
    system = [layouts.ARRIVED, layouts.FILTERED, layouts.DROPPED, layouts.SELECTIONS, layouts.NOBODY]
    system += [layouts.FORWARDED, layouts.UNSENT, layouts.TO_LINUX]
    assert system == [0, 8, 16, 24, 32, 40, 48, 56]
    assert layouts.GROUP_COUNTER_BYTES == layouts.USER_COUNTERS + 8 * COUNTERS == 576


@pytest.mark.parametrize(("cpus", "rows"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_rows_are_a_power_of_two(cpus: int, rows: int) -> None:
    memory = DeviceMemory(cpus, 1, (RINGS,))
    assert memory.rows == rows
    assert memory.maps()[0].value_bytes == rows * memory.scratch_stride
