from __future__ import annotations

import numpy as np
import pytest
from support.frames import ethernet, ip4, tcp
from support.rings import FakeRings, frame_of, header_of

from pfq import addresses, layout
from pfq.errors import ViewExpiredError
from pfq.ring import Batch, Reader, View

HEADER_COLUMNS = [member.name for member in layout.SLOT]


@pytest.fixture
def batch(rings: FakeRings, reader: Reader) -> Batch:
    """Packets 0, 1, 2 of 60 bytes."""
    rings.publish(*map(frame_of, range(3)))
    read = reader.read()
    assert read is not None
    return read


@pytest.mark.parametrize("name", HEADER_COLUMNS)
def test_columns_are_the_fields_of_the_layout(batch: Batch, name: str) -> None:
    column = getattr(batch, name)
    want = [60] * 3 if name in ("len", "caplen") else [header_of(i)[name] for i in range(3)]
    assert column.tolist() == want
    bits = {member.name: member.bits for member in layout.SLOT}[name]
    assert column.dtype == np.dtype(f"<u{bits // 8}")
    assert getattr(Batch, name).__doc__


def test_data_is_a_row_for_each_packet(batch: Batch) -> None:
    assert batch.data.shape == (3, 128 - 32)
    assert [row[:60].tobytes() for row in batch.data] == [frame_of(i) for i in range(3)]


def test_columns_lie_on_the_ring_without_a_copy(rings: FakeRings, batch: Batch) -> None:
    column = batch.mark
    rings.memory()[128 + 16 : 128 + 20] = (77).to_bytes(4, "little")
    assert column[0] == 77
    assert batch.mark is column


def test_columns_cannot_be_written(batch: Batch) -> None:
    with pytest.raises(ValueError, match="read-only"):
        batch.len[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        batch.len += 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        np.asarray(batch.data).flags.writeable = True


def test_bytes_copies_one_packet(batch: Batch) -> None:
    assert batch.bytes(1) == frame_of(1)
    assert batch.bytes(-1) == frame_of(2)
    for outside in (3, -4):
        with pytest.raises(IndexError, match="of a batch of 3"):
            batch.bytes(outside)


def test_long_frames_are_cut_but_their_length_is_told(rings: FakeRings, reader: Reader) -> None:
    rings.publish(frame_of(1, size=9000))
    batch = reader.read()
    assert batch is not None
    assert (batch.len[0], batch.caplen[0], batch.bytes(0)) == (9000, 96, frame_of(1, size=96))


def test_a_caplen_beyond_the_slot_is_cut_at_the_slot(rings: FakeRings, reader: Reader) -> None:
    rings.publish(frame_of(1), frame_of(2), caplen=0xFFFF)
    batch = reader.read()
    assert batch is not None
    assert batch.bytes(0) == frame_of(1) + bytes(36)


def test_an_empty_frame_is_an_empty_row(rings: FakeRings, reader: Reader) -> None:
    rings.publish(b"")
    batch = reader.read()
    assert batch is not None
    assert (batch.len[0], batch.bytes(0)) == (0, b"")


def test_a_released_batch_gives_nothing(batch: Batch) -> None:
    column = batch.len
    with batch:
        assert column.sum() == 180
    assert batch.released
    assert len(batch) == 3
    for use in (lambda: batch.len, lambda: batch.data, lambda: batch.bytes(0), lambda: column.sum(), batch.as_struct):
        with pytest.raises(ViewExpiredError):
            use()


def test_reading_on_releases(reader: Reader, batch: Batch) -> None:
    assert reader.read(timeout=0) is None
    assert batch.released


def test_releasing_gives_the_slots_back_once(rings: FakeRings, reader: Reader, batch: Batch) -> None:
    assert rings.tail() == 0
    batch.release()
    assert rings.tail() == 3
    rings.publish(frame_of(3))
    other = reader.read()
    assert other is not None
    other.release()
    batch.release()
    assert rings.tail() == 4


def test_an_array_without_guard_keeps_its_packets(rings: FakeRings, reader: Reader, batch: Batch) -> None:
    plain = np.asarray(batch.data[1:])[:, :4]
    buffer = memoryview(batch.len)
    reader.read(timeout=0)
    assert rings.tail() == 0
    rings.publish(*map(frame_of, range(3, 20)))
    assert rings.lost() == 17 - 5
    assert plain.tolist() == [[0, 0, 0, 1], [0, 0, 0, 2]]
    assert buffer.tolist() == [60, 60, 60]
    del plain
    assert rings.tail() == 0
    del buffer
    assert rings.tail() == 3


def test_a_long_lease_holds_up_the_later_ones(rings: FakeRings, reader: Reader, batch: Batch) -> None:
    kept = np.asarray(batch.len)
    rings.publish(frame_of(3))
    for _ in range(2):
        reader.read(timeout=0)
    assert (rings.tail(), reader.statistics().held) == (0, 4)
    del kept
    assert (rings.tail(), reader.statistics().held) == (4, 0)


def test_arrays_outlive_the_reader(rings: FakeRings, batch: Batch, reader: Reader) -> None:
    plain = np.asarray(batch.data)
    reader.close()
    del batch, reader
    assert plain[2, :4].tolist() == [0, 0, 0, 2]


def test_repr_tells_where_the_packets_are_from(batch: Batch) -> None:
    assert repr(batch) == "<Batch of 3 packets, ring 0, from packet 0>"
    batch.release()
    assert repr(batch) == "<Batch of 3 packets, ring 0, released>"


def test_views_are_made_by_the_batch(batch: Batch) -> None:
    assert type(batch.len) is View


PACKETS = [ethernet(ip4(tcp(1024 + i, 80), 6), 0x0800, [(0x8100, 7)] if i == 2 else None) for i in range(3)]


@pytest.fixture
def decoded(rings: FakeRings, reader: Reader) -> Batch:
    """Three packets of TCP, the last one tagged."""
    rings.publish(*PACKETS, ts_ns=10**18)
    read = reader.read()
    assert read is not None
    return read


def test_decoded_columns(decoded: Batch) -> None:
    assert decoded.src_port.tolist() == [1024, 1025, 1026]
    assert addresses(decoded.dst) == ["10.0.0.2"] * 3
    assert decoded.vlan.tolist() == [0, 0, 7]
    assert decoded.headers["ip_version"].tolist() == [4, 4, 4]


def test_decoded_columns_stay(rings: FakeRings, reader: Reader, decoded: Batch) -> None:
    """They are copies: they hold no slots."""
    ports = decoded.src_port
    decoded.release()
    assert ports.tolist() == [1024, 1025, 1026]
    assert reader.statistics().held == 0
    for late in ("dst_port", "headers"):
        with pytest.raises(ViewExpiredError):
            getattr(decoded, late)
    with pytest.raises(ViewExpiredError):
        decoded.to_arrow()


def test_tables_stay(rings: FakeRings, reader: Reader, decoded: Batch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
    table = decoded.to_arrow([*Batch.TABLE, "data", "group"])
    group = decoded.group.tolist()
    decoded.release()
    assert reader.statistics().held == 0
    rings.publish(*(bytes(60) for _ in range(8)))
    found = pyarrow.table(table)
    assert found["data"].to_pylist() == PACKETS
    assert found["src_port"].to_pylist() == [1024, 1025, 1026]
    assert found["group"].to_pylist() == group
    assert found["ts"][0].as_py().year == 2001
    assert found.schema.names == [*Batch.TABLE, "data", "group"]


def test_a_packet_of_scapy(decoded: Batch) -> None:
    pytest.importorskip("scapy", reason="scapy is not installed")
    packet = decoded.scapy(2)
    decoded.release()
    assert (packet["Dot1Q"].vlan, packet["TCP"].sport) == (7, 1026)
