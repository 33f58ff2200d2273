from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from support.columns import records
from support.rings import FakeRings, frame_of
from support.written import blocks, options

from pfq.errors import InternalError, UsageError, ViewExpiredError
from pfq.files import Frame, read_frames
from pfq.files.capfile import CaptureFile
from pfq.files.interface import Interface, InterfaceStatistics
from pfq.files.writing import PcapngWriter, live_interface
from pfq.ring import Batch, RingStatistics

NOON_NS = 1_700_000_000_123_456_789
SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
DEVICE = [live_interface("veth0", snaplen=96)]
ETHERNET, RAW = Interface(number=0, link_type=1, snaplen=0), Interface(number=1, link_type=101, snaplen=0)


def test_packets_come_back_as_they_were(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), DEVICE) as writer:
        writer.write(batch)
        assert writer.packets == 6
    want = [bytes([0x80 + i]) * size for i, size in enumerate((0, 1, 2, 3, 60, 96))]
    lengths = (0, 1, 2, 3, 60, 200)
    assert list(read_frames(path)) == [
        Frame(NOON_NS + i, length, data, 1, 0) for i, (length, data) in enumerate(zip(lengths, want, strict=True))
    ]


def test_padding_is_zero(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), DEVICE) as writer:
        writer.write(batch)
        writer.write(batch)
    bodies = [body[20:] for kind, body in blocks(path) if kind == PACKET]
    assert bodies[:4] == bodies[6:10] == [b"", b"\x81\0\0\0", b"\x82\x82\0\0", b"\x83\x83\x83\0"]


def test_interface_and_counters_are_in_the_file(tmp_path: Path, batch: Batch) -> None:
    path = tmp_path / "out.pcapng"
    writer = PcapngWriter(str(path), DEVICE, comment="five €")
    writer.write(batch)
    writer.close(RingStatistics(delivered=40, lost=2, read=6, held=0, waiting=34))
    writer.close()
    (section, head), (interface, description), *packets, (statistics, counts) = blocks(path)
    assert (section, interface, statistics) == (SECTION, INTERFACE, STATISTICS)
    assert [kind for kind, _ in packets] == [PACKET] * 6
    assert options(head[16:])[1].decode() == "five €"
    assert options(head[16:])[4].startswith(b"pfq ")
    assert struct.unpack_from("<HHI", description) == (1, 0, 96)
    assert options(description[8:])[2] == b"veth0"
    assert options(description[8:])[9] == b"\x09"
    assert options(description[8:])[12].startswith(b"Linux ")
    found = options(counts[12:])
    received, dropped, delivered = (struct.unpack("<Q", found[code])[0] for code in (4, 7, 8))
    assert (received, dropped, delivered) == (42, 2, 6)
    started, ended = (struct.unpack("<II", found[code]) for code in (2, 3))
    assert NOON_NS < started[0] << 32 | started[1] <= ended[0] << 32 | ended[1]


def test_a_batch_larger_than_the_buffer_is_written_whole(tmp_path: Path) -> None:
    with FakeRings(slots=64, slot_bytes=65600) as rings, rings.reader() as reader:
        for i in range(64):
            rings.publish(frame_of(i, size=65_532))
        batch = reader.read()
        assert batch is not None
        path = tmp_path / "out.pcapng"
        with PcapngWriter(str(path), DEVICE) as writer:
            writer.write(batch)
        assert [frame.data for frame in read_frames(path)] == [frame_of(i, size=65_532) for i in range(64)]


def test_a_packet_larger_than_the_buffer_is_written_whole(tmp_path: Path) -> None:
    frames = [b"before", bytes(range(256)) * 12_000, b"behind"]
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), [ETHERNET]) as writer:
        writer.write_records(records(frames))
    assert [frame.data for frame in read_frames(path)] == frames


def test_released_batches_and_closed_writers_are_refused(tmp_path: Path, batch: Batch) -> None:
    writer = PcapngWriter(str(tmp_path / "out.pcapng"), DEVICE)
    with writer:
        pass
    with pytest.raises(UsageError, match="is closed"):
        writer.write(batch)
    with PcapngWriter(str(tmp_path / "out.pcapng"), DEVICE) as writer:
        batch.release()
        with pytest.raises(ViewExpiredError):
            writer.write(batch)


def declared(path: Path) -> list[tuple[int, bytes]]:
    """Link type and name of each interface."""
    found = [body for kind, body in blocks(path) if kind == INTERFACE]
    return [(struct.unpack_from("<H", body)[0], options(body[8:]).get(2, b"")) for body in found]


def numbers(path: Path) -> list[int]:
    return [struct.unpack_from("<I", body)[0] for kind, body in blocks(path) if kind == PACKET]


def test_interfaces_are_declared_as_they_come_up(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    interfaces = [ETHERNET]
    with PcapngWriter(str(path), interfaces) as writer:
        writer.write_records(records([b"one"]))
        interfaces.append(RAW)
        writer.write_records(records([b"two"], interface=1, link_type=101))
    kinds = [kind for kind, _ in blocks(path)]
    assert kinds == [SECTION, INTERFACE, PACKET, INTERFACE, PACKET]
    assert [(frame.data, frame.link_type) for frame in read_frames(path)] == [(b"one", 1), (b"two", 101)]


def test_interfaces_of_another_source_are_shared_when_they_are_the_same(tmp_path: Path) -> None:
    eth0, eth1 = replace(ETHERNET, name="eth0"), replace(ETHERNET, name="eth1", number=1)
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), [eth0, eth1]) as writer:
        writer.write_records(records([b"a"], interface=1))
        writer.source([replace(eth1, number=0), RAW, replace(eth1, number=2)])
        writer.write_records(records([b"b"]))
        writer.write_records(records([b"c"], interface=1))
        writer.write_records(records([b"d"], interface=2))
    assert declared(path) == [(1, b"eth0"), (1, b"eth1"), (101, b""), (1, b"eth1")]
    assert numbers(path) == [1, 1, 2, 3]


def test_equal_interfaces_of_one_source_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), [ETHERNET, replace(ETHERNET, number=1)]) as writer:
        writer.write_records(records([b"b"], interface=1))
    assert (len(declared(path)), numbers(path)) == (2, [1])


def test_a_file_without_packets_has_an_interface(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    PcapngWriter(str(path)).close()
    assert declared(path) == [(1, b"")]


def test_an_interface_nobody_knows_is_a_fault(tmp_path: Path) -> None:
    with PcapngWriter(str(tmp_path / "out.pcapng"), [ETHERNET]) as writer, pytest.raises(InternalError, match="of 1"):
        writer.write_records(records([b"x"], interface=1))


def test_counts_of_the_source_are_kept_by_interface(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    with PcapngWriter(str(path), [ETHERNET]) as writer:
        writer.source([RAW, ETHERNET])
        writer.count(0, InterfaceStatistics(received=10, dropped=3, accepted=9, os_dropped=None, delivered=1))
    *_, (kind, body) = blocks(path)
    assert (kind, struct.unpack_from("<I", body)) == (STATISTICS, (1,))
    assert options(body[12:]) == {0: b""} | {
        code: struct.pack("<Q", n) for code, n in ((4, 10), (5, 3), (6, 9), (8, 1))
    }


def test_what_is_known_of_an_interface_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    told = Interface(
        number=0, link_type=113, snaplen=77, name="any", description="all of them", comment="mine",
        filter="tcp port 80", os="Minix", hardware="a card", resolution=10**9,
    )  # fmt: skip
    PcapngWriter(str(path), [told], comment="kept").close()
    with CaptureFile(path) as file:
        assert list(file.runs()) == []
        assert file.interfaces == [told]
        assert file.section.comment == "kept"


@pytest.mark.parametrize("text", ["x" * 70_000, "é" * 40_000, "x" + "é" * 40_000], ids=["x", "é", "xé"])
def test_texts_are_cut_where_an_option_ends(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out.pcapng"
    PcapngWriter(str(path), [replace(ETHERNET, name=text, filter=text)], comment=text).close()
    (_, section), (_, interface) = blocks(path)
    found = options(interface[8:])
    for value in (options(section[16:])[1], found[2], found[11].removeprefix(b"\0")):
        assert text.startswith(value.decode())
        assert 65_533 <= len(value) <= 65_534
