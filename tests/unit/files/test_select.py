from __future__ import annotations

import numpy as np
import pytest
from support.groups import Run, Sighting

from pfq.columns.records import Records
from pfq.files.select import packets_at


def records(*frames: bytes) -> Records:
    run = Run([Sighting(frame) for frame in frames])
    return Records(run.records, run)


FRAMES = [bytes([i]) * (i * 7 % 50) for i in range(200)]


@pytest.mark.parametrize("numbers", [[5], [0], [0, 1, 199], list(range(0, 200, 9)), list(range(50, 200))])
def test_packets_are_the_same(numbers: list[int]) -> None:
    run = records(*FRAMES)
    found = packets_at(run, np.array(numbers))
    assert [found.bytes(i) for i in range(len(found))] == [FRAMES[number] for number in numbers]
    for name in ("ts_ns", "len", "caplen", "link_type"):
        assert found.array[name].tolist() == run.array[name][numbers].tolist()


def test_few_packets_do_not_keep_the_run() -> None:
    run = records(*FRAMES)
    few, many = packets_at(run, np.array([3, 4])), packets_at(run, np.arange(150))
    assert many.keep is run
    assert isinstance(few.keep, np.ndarray)
    assert few.keep.nbytes == len(FRAMES[3]) + len(FRAMES[4])
