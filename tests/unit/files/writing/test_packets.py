from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import records

from pfq.files import read_frames
from pfq.files.interface import Interface
from pfq.files.writing import PcapngWriter, PcapWriter

FRAMES = [bytes([i]) * i for i in range(7)]
ETHERNET = [Interface(number=0, link_type=1, snaplen=0)]


@pytest.mark.parametrize(
    ("chosen", "want"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6]),
        ([True, False, True, False, False, False, True], [0, 2, 6]),
        ([False] * 7, []),
        ([], []),
        ([6, 0, 0], [6, 0, 0]),
        (np.array([5], np.int64), [5]),
        (np.array([5, 6], np.uint8)[::-1], [6, 5]),
    ],
)
def test_what_is_chosen_is_written(tmp_path: Path, chosen: Any, want: list[int]) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), ETHERNET) as writer:
        writer.write_records(records(FRAMES), chosen)
    assert writer.packets == len(want)
    assert [frame.data for frame in read_frames(path)] == [FRAMES[i] for i in want]


@pytest.mark.parametrize("chosen", [[7], [-1], [True], [True] * 8])
def test_choices_outside_the_run_are_refused(tmp_path: Path, chosen: list[Any]) -> None:
    with PcapngWriter(str(tmp_path / "out.pcapng"), ETHERNET) as writer, pytest.raises(IndexError):
        writer.write_records(records(FRAMES), np.array(chosen))
    assert writer.packets == 0


@given(
    frames=st.lists(st.tuples(st.binary(max_size=70), st.integers(0, 2**32 - 1), st.integers(0, 2**32 * 10**9 - 1))),
    pcap=st.booleans(),
)
def test_any_packets_come_back(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[bytes, int, int]], pcap: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "out"
    run = records([data for data, _, _ in frames])
    run.array["len"] = [size for _, size, _ in frames]
    run.array["ts_ns"] = np.array([ts_ns for *_, ts_ns in frames], np.uint64)
    interfaces = [Interface(number=0, link_type=1, snaplen=0, resolution=10**9)]
    with (PcapWriter if pcap else PcapngWriter)(str(path), interfaces) as writer:
        writer.write_records(run)
    assert [(frame.data, frame.len, frame.ts_ns) for frame in read_frames(path)] == frames
