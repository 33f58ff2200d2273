from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from support.columns import records
from support.written import PCAP_HEADER, pcap_records

from pfq.errors import UsageError
from pfq.files import read_frames
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing import PcapWriter, live_interface
from pfq.ring import Batch, RingStatistics

NOON_NS = 1_700_000_000_123_456_789
MICRO, NANO = 0xA1B2C3D4, 0xA1B23C4D
COARSE = Interface(number=0, link_type=1, snaplen=65_535, resolution=10**6)
FINE = Interface(number=1, link_type=1, snaplen=96, resolution=10**9)


def header(path: Path) -> tuple[int, int, int]:
    """Magic number, snap length and link type."""
    magic, major, minor, _, _, snaplen, link_type = struct.unpack("<IHHiIII", path.read_bytes()[:PCAP_HEADER])
    assert (major, minor) == (2, 4)
    return magic, snaplen, link_type


def test_live_packets_are_written_in_nanoseconds(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcap"
    with PcapWriter(str(path), [live_interface("veth0", 96)]) as writer:
        writer.write(batch)
        writer.close(RingStatistics(delivered=40, lost=2, read=6, held=0, waiting=34))
    assert header(path) == (NANO, 96, 1)
    assert pcap_records(path) == [
        (1_700_000_000, 123_456_789 + i, size, bytes([0x80 + i]) * min(size, 96))
        for i, size in enumerate((0, 1, 2, 3, 60, 200))
    ]
    assert [frame.ts_ns for frame in read_frames(path)] == [NOON_NS + i for i in range(6)]


@pytest.mark.parametrize(
    ("interfaces", "want"),
    [
        ([COARSE], (MICRO, 65_535, 1)),
        ([COARSE, FINE], (NANO, 65_535, 1)),
        ([FINE], (NANO, 96, 1)),
        ([Interface(number=0, link_type=1, snaplen=96, resolution=256)], (NANO, 96, 1)),
        ([Interface(number=0, link_type=1, snaplen=96, resolution=100)], (MICRO, 96, 1)),
        ([Interface(number=0, link_type=276, snaplen=0, resolution=1)], (MICRO, 262_144, 276)),
        ([], (MICRO, 262_144, 1)),
    ],
)
def test_the_header_is_that_of_the_interfaces(
    tmp_path: Path, interfaces: list[Interface], want: tuple[int, int, int]
) -> None:
    path = tmp_path / "out.pcap"
    PcapWriter(str(path), interfaces).close()
    assert header(path) == want
    assert path.stat().st_size == PCAP_HEADER


def test_interfaces_found_before_the_first_packet_count(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    interfaces: list[Interface] = []
    with PcapWriter(str(path), interfaces) as writer:
        interfaces += [COARSE, FINE]
        writer.write_records(records([b"one"]))
        writer.source([COARSE])
        writer.count(0, InterfaceStatistics(1, None, None, None, None))
        writer.write_records(records([b"two"]))
    assert header(path) == (NANO, 65_535, 1)
    assert [data for *_, data in pcap_records(path)] == [b"one", b"two"]


def test_a_longer_snap_length_that_comes_late_is_in_the_header(tmp_path: Path) -> None:
    """Readers would cut the packets at the header's."""
    path = tmp_path / "out.pcap"
    with PcapWriter(str(path), [FINE]) as writer:
        writer.write_records(records([b"one"]))
        assert header(path) == (NANO, 96, 1)
        writer.source([COARSE])
        writer.write_records(records([bytes(100)]))
        writer.source([FINE])
    assert header(path) == (NANO, 65_535, 1)
    assert [len(data) for *_, data in pcap_records(path)] == [3, 100]


def test_finer_times_that_come_late_are_rounded_down(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    run = records([b"one"])
    run.array["ts_ns"] = NOON_NS
    with PcapWriter(str(path), [COARSE]) as writer:
        writer.write_records(run)
        writer.source([FINE])
        writer.write_records(run)
    assert [row[:2] for row in pcap_records(path)] == [(1_700_000_000, 123_456)] * 2


def test_a_second_link_type_is_refused_after_what_fits(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    mixed = records([b"one", b"two", b"six"])
    mixed.array["link_type"] = [1, 1, 101]
    writer = PcapWriter(str(path), [COARSE])
    with writer, pytest.raises(UsageError, match=r"link type EN10MB \(1\), .* one of RAW \(101\)") as caught:
        writer.write_records(mixed)
    assert "pcapng" in str(caught.value.hint)
    assert writer.packets == len(pcap_records(path)) == 2


def test_times_after_2106_are_refused(tmp_path: Path) -> None:
    run = records([b"last", b"late"])
    run.array["ts_ns"] = np.array([2**32 * 10**9 - 1, 2**32 * 10**9], np.uint64)
    path = tmp_path / "out.pcap"
    with PcapWriter(str(path), [FINE]) as writer, pytest.raises(UsageError, match="of the year 2106"):
        writer.write_records(run)
    assert [row[:2] for row in pcap_records(path)] == [(2**32 - 1, 999_999_999)]
