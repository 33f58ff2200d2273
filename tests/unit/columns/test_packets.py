"""Columns that batches of every source have, and the tables made of them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from support.columns import ETHERNET, VLAN, expected, records
from support.frames import ethernet, ip4, ip6, tcp, udp

from pfq import addresses
from pfq.columns.packets import PacketColumns
from pfq.errors import MachineError, UsageError
from pfq.files.batch import FileBatch
from pfq.lang.packet import ETHERTYPE_IP4, ETHERTYPE_IP6

RAW_IP4, COOKED = 228, 113
NOW = 1_600_000_000

FRAMES = [
    ethernet(ip4(tcp(1024, 80, payload=b"hello"), 6), ETHERTYPE_IP4),
    ethernet(ip6(udp(5353, 53, payload=b"?"), 17), ETHERTYPE_IP6, [(VLAN, 0x6007)]),
    ethernet(b"who has?", 0x0806),
    ethernet(ip4(bytes(40), 6, parts=0x0005), ETHERTYPE_IP4),
    b"cut",
]
"""TCP, tagged UDP over IPv6, ARP, a later fragment, hardly anything."""

OF_ARP: dict[str, Any] = dict.fromkeys(
    ("src", "dst", "src_port", "dst_port", "proto", "ip_version", "ttl", "tos", "tcp_flags", "payload_len", "flow_hash")
)


@pytest.fixture
def batch() -> FileBatch:
    return FileBatch(records(FRAMES))


def test_every_header_column(batch: FileBatch) -> None:
    wanted = [expected(frame) for frame in FRAMES]
    for name in (*PacketColumns.HEADER_COLUMNS, "payload_offset"):
        column = getattr(batch, name)
        if name in ("src", "dst"):
            assert column.shape == (len(FRAMES), 16)
            assert [row.tobytes() for row in column] == [row[name] for row in wanted]
        else:
            assert column.tolist() == [row[name] for row in wanted]
        assert getattr(FileBatch, name).__doc__
        assert not column.flags.writeable


def test_columns_for_use(batch: FileBatch) -> None:
    assert addresses(batch.src) == ["10.0.0.1", "2001:db8::1", "::", "10.0.0.1", "::"]
    assert batch.src_port.tolist() == [1024, 5353, 0, 0, 0]
    assert batch.vlan.tolist() == [0, 7, 0, 0, 0]
    assert batch.is_fragment.dtype == np.bool_
    assert batch.is_fragment.tolist() == [False, False, False, True, False]
    whole = FRAMES[0]
    assert whole[batch.payload_offset[0] :][: batch.payload_len[0]] == b"hello"


def test_headers_are_read_once(batch: FileBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    column = batch.src_port
    monkeypatch.setattr("pfq.columns.packets.decode", None)
    assert batch.src_port is column
    assert batch.dst_port.tolist()[0] == 80
    assert batch.headers["proto"].tolist()[0] == 6


def test_both_directions_have_one_flow_hash() -> None:
    there = ethernet(ip4(tcp(1024, 80), 6, src=b"\n\0\0\1", dst=b"\n\0\0\2"), ETHERTYPE_IP4)
    back = ethernet(ip4(tcp(80, 1024), 6, src=b"\n\0\0\2", dst=b"\n\0\0\1"), ETHERTYPE_IP4)
    one, other = FileBatch(records([there, back])).flow_hash.tolist()
    assert one == other != 0


@pytest.mark.parametrize(
    ("link_type", "head"), [(RAW_IP4, b""), (COOKED, bytes(14) + b"\x08\0"), (COOKED, bytes(14) + b"\x81\0\0\7\x08\0")]
)
def test_the_payload_is_where_it_is_in_the_packet(link_type: int, head: bytes) -> None:
    packet = head + FRAMES[0][14:]
    batch = FileBatch(records([packet, b"", b"abc"], link_type=link_type))
    assert packet[batch.payload_offset[0] :][: batch.payload_len[0]] == b"hello"
    assert batch.payload_offset.tolist()[1:] == [0, 0]


def test_other_link_types_are_read_too() -> None:
    batch = FileBatch(records([FRAMES[0][14:]], link_type=RAW_IP4))
    assert addresses(batch.src) == ["10.0.0.1"]
    assert batch.dst_port.tolist() == [80]


def rows_of(batch: FileBatch, *columns: str) -> list[dict[str, Any]]:
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
    table = pyarrow.table(batch.to_arrow(columns or None))
    table.validate(full=True)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def test_a_table_has_what_packets_have(batch: FileBatch) -> None:
    found = rows_of(batch)
    assert list(found[0]) == list(FileBatch.TABLE)
    assert found[0]["src"] == "10.0.0.1"
    assert found[1]["src"] == "2001:db8::1"
    assert [row["src_port"] for row in found] == [1024, 5353, None, None, None]
    assert [row["vlan"] for row in found] == [None, 7, None, None, None]
    assert [row["tcp_flags"] for row in found] == [0x10, None, None, None, None]
    assert [row["proto"] for row in found] == [6, 17, None, 6, None]
    assert [row["ether_type"] for row in found] == [0x0800, 0x86DD, 0x0806, 0x0800, None]
    assert [row["is_fragment"] for row in found] == [False, False, False, True, False]
    assert {name: found[2][name] for name in OF_ARP} == OF_ARP
    assert [row["ts"].value for row in found] == batch.ts_ns.tolist()
    assert [row["len"] for row in found] == [len(frame) for frame in FRAMES]


def test_a_table_of_named_columns(batch: FileBatch) -> None:
    found = rows_of(batch, "data", "ts_ns", "vlan_tci", "link_type", "payload_offset", "mark")
    assert [row["data"] for row in found] == FRAMES
    assert found[0]["ts_ns"] == NOW * 10**9
    assert found[1]["vlan_tci"] == 0x6007
    assert found[0]["link_type"] == ETHERNET
    assert [row["payload_offset"] for row in found] == [54, 66, None, None, None]


def test_times_that_frames_cannot_hold_are_missing(batch: FileBatch) -> None:
    batch.records.array["ts_ns"][:3] = 0, 1 << 63, (1 << 63) - 1
    assert [row["ts"] is None for row in rows_of(batch, "ts")] == [True, True, False, False, False]


def test_an_unknown_column(batch: FileBatch) -> None:
    with pytest.raises(UsageError, match="packets have no column `src_prot`") as caught:
        batch.to_arrow(["src_prot"])
    assert "`src_port`" in str(caught.value.hint)


def test_a_batch_is_itself_a_table(batch: FileBatch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow is not installed")
    assert pyarrow.table(batch).equals(pyarrow.table(batch.to_arrow()))
    assert pyarrow.record_batch(batch).num_rows == len(FRAMES)
    assert pyarrow.schema(batch).names == list(FileBatch.TABLE)


def test_polars(batch: FileBatch) -> None:
    pytest.importorskip("polars", reason="Polars is not installed")
    frame = batch.to_polars(["src", "src_port", "data"])
    assert frame["src"].to_list() == ["10.0.0.1", "2001:db8::1", None, "10.0.0.1", None]
    assert frame["src_port"].to_list() == [1024, 5353, None, None, None]
    assert frame["data"].to_list() == FRAMES
    assert batch.to_polars().columns == list(FileBatch.TABLE)


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("polars", FileBatch.to_polars),
        ("pandas", FileBatch.to_pandas),
        ("scapy", lambda batch: batch.scapy(0)),
    ],
)
def test_without_the_package(batch: FileBatch, package: str, use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MachineError, match=f"needs the Python package `{package}`") as caught:
        use(batch)
    assert caught.value.hint == f'pip install "pfq[{package}]"'
