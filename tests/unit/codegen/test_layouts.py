"""The memory that generated code shares with the engine: nothing overlaps."""

from __future__ import annotations

import ctypes
from itertools import pairwise

import pytest

from pfq.codegen import layouts
from pfq.codegen.layouts import scratch_bytes
from pfq.codegen.memory import DeviceMemory, RingShape
from pfq.codegen.native import ActionRecord
from pfq.lang.action import COUNTERS

RINGS = RingShape(slots=64, slot_bytes=128, snaplen=96)


def test_the_action_lies_where_native_code_reads_it() -> None:
    offsets = {name: getattr(ActionRecord, name).offset for name, _ in ActionRecord._fields_}
    assert offsets == {
        "classes": layouts.CLASSES,
        "fanout": layouts.FANOUT,
        "hash": layouts.HASH,
        "hash2": layouts.HASH2,
        "mark": layouts.MARK,
        "state": layouts.STATE,
        "kernel": layouts.KERNEL,
    }
    assert ctypes.sizeof(ActionRecord) == layouts.ACTION_BYTES


def test_scratch_memory_does_not_overlap() -> None:
    ends = [
        (layouts.CLASSES, layouts.ACTION_BYTES),
        (layouts.SELECTED, layouts.SELECTED + 8),
        (layouts.TIME, layouts.TIME + 8),
        (layouts.PASSED_UP, layouts.PASSED_UP + 4),
        (layouts.FACTS, layouts.FACTS + 8 * layouts.MAX_FACTS),
        (layouts.GROUP_RESULTS, layouts.GROUP_RESULTS + layouts.GROUP_RESULT_BYTES),
    ]
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))


@pytest.mark.parametrize("groups", [1, 2, 64])
def test_the_scratch_of_a_cpu_is_whole_cache_lines(groups: int) -> None:
    size = scratch_bytes(groups)
    assert size % 64 == 0
    assert layouts.GROUP_RESULTS + groups * layouts.GROUP_RESULT_BYTES <= size


def test_counters_of_a_group() -> None:
    system = [layouts.ARRIVED, layouts.FILTERED, layouts.DROPPED, layouts.SELECTIONS, layouts.NOBODY]
    assert system == [0, 8, 16, 24, 32]
    assert layouts.GROUP_COUNTER_BYTES == layouts.USER_COUNTERS + 8 * COUNTERS == 576


@pytest.mark.parametrize(("cpus", "rows"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_rows_are_a_power_of_two(cpus: int, rows: int) -> None:
    memory = DeviceMemory(cpus, 1, 1, RINGS)
    assert memory.rows == rows
    assert memory.maps()[0].value_bytes == rows * memory.scratch_stride
