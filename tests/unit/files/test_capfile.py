from __future__ import annotations

import io
import itertools
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.capturefiles import STATISTICS, Blocks, pcap_header, pcap_record

from pfq.errors import FileFormatError, UsageError
from pfq.files import CaptureFile, Interface, InterfaceStatistics, Section
from pfq.files.capfile import RUN_PACKETS
from pfq.files.chunks import CHUNK_BYTES, HEADROOM_BYTES

B, BIG = Blocks("<"), Blocks(">")
MIB = 1 << 20

Read = tuple[list[tuple[bytes, int]], str]
"""The packets, each with its interface, and what the error said, if there was one."""


def read(data: bytes) -> Read:
    packets: list[tuple[bytes, int]] = []
    try:
        with CaptureFile(io.BytesIO(data)) as file:
            for run in file.runs():
                packets += [(run.bytes(i), int(run.array["interface"][i])) for i in range(len(run))]
    except FileFormatError as error:
        return packets, error.message
    return packets, ""


PCAP = [pcap_header(), *(pcap_record(bytes([i]) * i) for i in range(5))]
PCAPNG = [
    B.section(options=[(1, b"a comment")]),
    B.interface(options=[(2, b"eth0"), (9, b"\x09")]),
    B.packet(b"one"),
    BIG.section(),
    BIG.interface(snaplen=3),
    BIG.simple(b"two", size=60),
    BIG.block(7, b"whatever"),
    BIG.old(b"three"),
]
FILES = {"pcap": (PCAP, range(1, 6)), "pcapng": (PCAPNG, (2, 5, 7))}


@pytest.mark.parametrize("name", FILES)
def test_M6_M7_cut_at_every_byte(name: str) -> None:
    parts, packets = FILES[name]
    whole = b"".join(parts)
    begins = list(itertools.accumulate(map(len, parts), initial=0))
    everything, fault = read(whole)
    assert len(everything) == len(packets)
    assert not fault
    for size in range(len(whole)):
        found, fault = read(whole[:size])
        assert found == everything[: sum(begins[part + 1] <= size for part in packets)]
        if size in begins[1:]:
            assert not fault
        else:
            assert f"at offset {max(begin for begin in begins if begin <= size)}: the file " in fault, size


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_known_at_once(name: str) -> None:
    with CaptureFile(io.BytesIO(b"".join(FILES[name][0]))) as file:
        assert file.format == name
        assert file.interfaces[:1] == [] or file.interfaces[0].number == 0


def test_interfaces_of_pcap() -> None:
    data = pcap_header(snaplen=96, network=113, magic=0xA1B23C4D)
    with CaptureFile(io.BytesIO(data)) as file:
        assert list(file.runs()) == []
        assert file.interfaces == [Interface(number=0, link_type=113, snaplen=96, resolution=10**9)]
        assert file.section == Section()
        assert file.statistics == {}
        assert file.warnings == []


@pytest.mark.parametrize("b", [B, BIG], ids="<>")
def test_what_pcapng_tells(b: Blocks) -> None:
    section = [(1, b"first"), (1, b"second"), (2, b"box"), (3, b"Linux"), (4, b"tool")]
    options = [
        (2, b"eth0\0"),
        (3, b"uplink"),
        (1, "Gerät".encode()),
        (9, b"\x83"),
        (11, b"\0ip6"),
        (12, b"os"),
        (15, b"nic"),
    ]
    data = b.section(options=section) + b.interface(7, 60, options) + b.section(options=[(1, b"of the second section")])
    with CaptureFile(io.BytesIO(data)) as file:
        assert list(file.runs()) == []
        assert file.section == Section("first\nsecond", "box", "Linux", "tool")
        assert file.interfaces == [
            Interface(0, 7, 60, "eth0", "uplink", "Gerät", filter="ip6", os="os", hardware="nic", resolution=8)
        ]


def test_a_filter_kept_as_bytecode_is_no_text() -> None:
    with CaptureFile(io.BytesIO(B.section() + B.interface(options=[(11, b"\1\6\0\0\0")]))) as file:
        assert list(file.runs()) == []
        assert file.interfaces[0].filter == ""


def test_the_list_of_interfaces_grows_with_the_runs() -> None:
    many = b"".join(B.packet(bytes(60)) for _ in range(RUN_PACKETS))
    with CaptureFile(
        io.BytesIO(B.section() + B.interface() + many + B.interface(113) + B.packet(b"", number=1))
    ) as file:
        interfaces = file.interfaces
        for run in file.runs():
            assert len(interfaces) > run.array["interface"].max()
        assert [interface.link_type for interface in interfaces] == [1, 113]


def counted(b: Blocks, number: int, *counters: tuple[int, int]) -> bytes:
    options = b.options([(code, b.pack("Q", value)) for code, value in counters])
    return b.block(STATISTICS, b.pack("III", number, 0, 0) + options)


def test_statistics_of_the_last_block_count() -> None:
    data = B.section() + B.interface() + B.interface() + counted(B, 1, (4, 9)) + counted(B, 1, (4, 10), (5, 0), (7, 3))
    data += BIG.section() + BIG.interface() + counted(BIG, 0, (6, 1), (8, 1 << 40)) + counted(BIG, 1, (4, 5))
    with CaptureFile(io.BytesIO(data)) as file:
        assert list(file.runs()) == []
        assert file.statistics == {
            1: InterfaceStatistics(received=10, dropped=0, accepted=None, os_dropped=3, delivered=None),
            2: InterfaceStatistics(received=None, dropped=None, accepted=1, os_dropped=None, delivered=1 << 40),
        }


def test_unknown_blocks_are_told_once() -> None:
    data = B.section() + B.block(0xBAD, b"known") + B.block(0x77, b"") + B.block(0x78, b"")
    with CaptureFile(io.BytesIO(data)) as file:
        assert list(file.runs()) == []
        (warning,) = file.warnings
    assert "unknown types skipped: 2, the first, of type 0x77, at offset 48" in warning


@pytest.mark.parametrize("kind", [STATISTICS, 0x0A0D0D0A, 1])
def test_M7_options_that_lie(kind: int) -> None:
    fixed = {STATISTICS: bytes(12), 0x0A0D0D0A: B.section()[8:24], 1: bytes(8)}[kind]
    before = B.section() + B.interface() + B.packet(b"x")
    for size in (1, 4, 5, 0xFFFF):
        lying = B.block(kind, fixed + B.pack("HH", 2, 4) + b"true" + B.pack("HH", 3, size))
        packets, fault = read(before + lying + B.packet(b"y"))
        assert len(packets) == 1
        assert f"at offset {len(before)}: an option longer than its block" in fault


OLD_LENGTHS = {
    (2, 0): (60, 4),
    (2, 2): (60, 4),
    (2, 3): (60, 4),
    (2, 4): (4, 60),
    (543, 0): (60, 4),
}


@pytest.mark.parametrize("version", OLD_LENGTHS)
def test_M6_lengths_in_the_order_of_the_version(version: tuple[int, int]) -> None:
    data = pcap_header(version=version) + struct.pack("<IIII", 0, 0, *OLD_LENGTHS[version]) + b"abcd"
    with CaptureFile(io.BytesIO(data)) as file:
        (run,) = file.runs()
        assert (run.bytes(0), run.array["len"].tolist()) == (b"abcd", [60])


def test_M6_a_later_time_than_32_bits_of_seconds_hold_and_the_latest() -> None:
    fine = [(9, b"\x09")]
    data = B.section() + B.interface() + B.packet(b"", 5_000_000_000_000_000) + B.packet(b"", (1 << 64) - 1)
    data += B.interface(options=fine) + B.packet(b"", (1 << 64) - 1, number=1)
    with CaptureFile(io.BytesIO(data)) as file:
        (run,) = file.runs()
    assert run.array["ts_ns"].tolist() == [5_000_000_000_000_000_000, (1 << 64) - 1, (1 << 64) - 1]


SIZES = (HEADROOM_BYTES - 1, HEADROOM_BYTES, HEADROOM_BYTES + 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1, 1 << 24)


@pytest.mark.parametrize("size", SIZES)
def test_a_packet_larger_than_what_is_read_at_a_time(size: int, tmp_path: Path) -> None:
    large = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + pcap_record(b"before") + pcap_record(large) + pcap_record(b"behind"))
    with CaptureFile(path) as file:
        found = [run.bytes(i) for run in file.runs() for i in range(len(run))]
    assert found == [b"before", large, b"behind"]


@pytest.mark.parametrize("left", [1, 15, 17, HEADROOM_BYTES - 1, HEADROOM_BYTES, HEADROOM_BYTES + 1])
def test_what_a_chunk_ends_with_is_put_in_front_of_the_next(left: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(left)
    first, second = generator.bytes(CHUNK_BYTES - 24 - 16 - left), generator.bytes(CHUNK_BYTES // 2)
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + pcap_record(first) + pcap_record(second))
    with CaptureFile(path) as file:
        assert [run.bytes(i) for run in file.runs() for i in range(len(run))] == [first, second]


def test_packets_across_chunks_are_whole(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    packets = [generator.bytes(int(size)) for size in generator.integers(0, 3000, 2500)]
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + b"".join(map(pcap_record, packets)))
    assert path.stat().st_size > 3 * CHUNK_BYTES
    with CaptureFile(path) as file:
        assert [run.bytes(i) for run in file.runs() for i in range(len(run))] == packets


def test_runs_that_are_kept_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + b"".join(pcap_record(struct.pack("<I", i) * 20) for i in range(100_000)))
    with CaptureFile(path) as file:
        runs = list(file.runs())
    numbers = [int.from_bytes(run.bytes(i)[:4], "little") for run in runs for i in range(len(run))]
    assert numbers == list(range(100_000))


CLAIMS = {
    "a packet of 256 MiB": pcap_header() + pcap_record(b"", caplen=256 * MIB),
    "a block of 2 GiB": B.section() + B.block(6, b"", size=1 << 31),
    "a packet of 4 GiB": B.section() + B.interface() + B.packet(b"", caplen=(1 << 32) - 1),
    "an interface of the last number": B.section() + B.interface() + B.packet(b"", number=(1 << 32) - 1),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_M6_M7_what_a_file_claims_takes_no_memory(claim: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CLAIMS[claim])
    os.truncate(path, 64 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError), CaptureFile(path) as file:
            list(file.runs())
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_M7_interfaces_are_limited() -> None:
    most = 65_536
    first = B.section()
    interface = B.interface(options=[(2, b"eth0")])
    with CaptureFile(io.BytesIO(first + interface * most + B.packet(b"x", number=most - 1))) as file:
        (run,) = file.runs()
        assert run.array["interface"].tolist() == [most - 1]
        assert len(file.interfaces) == most
    _, fault = read(first + interface * (most + 1))
    assert f"at offset {len(first) + most * len(interface)}: more than {most} interfaces" in fault


def test_M7_names_of_interfaces_are_limited() -> None:
    interface = B.interface(options=[(2, b"x" * 60_000)])
    with CaptureFile(io.BytesIO(B.section() + interface * 300)) as file:
        assert list(file.runs()) == []
        assert len(file.interfaces) == 300
        assert any("not kept" in warning for warning in file.warnings)
        assert sum(len(interface.name) for interface in file.interfaces) <= 1 << 24


def test_reading_twice_gives_nothing_twice() -> None:
    with CaptureFile(io.BytesIO(b"".join(PCAP))) as file:
        assert sum(map(len, file.runs())) == 5
        assert list(file.runs()) == []


def test_a_closed_file_is_not_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(pcap_header() + pcap_record(bytes(1000)) * 3000)
    with CaptureFile(path) as file:
        runs = file.runs()
        first = next(runs)
    with pytest.raises(UsageError, match="was closed"):
        next(runs)
    with pytest.raises(UsageError, match="was closed"):
        next(file.runs())
    assert first.bytes(0) == bytes(1000)


def test_size_and_position(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(PCAP))
    with CaptureFile(path) as file:
        assert (file.path, file.size) == (str(path), path.stat().st_size)
        assert sum(map(len, file.runs())) == 5
        assert file.position == file.size
