"""Packets as scapy's."""

from __future__ import annotations

import pytest
from support.columns import records
from support.frames import ethernet, ip4, tcp

from pfq.files.batch import FileBatch

pytest.importorskip("scapy", reason="scapy is not installed")

PACKET = ip4(tcp(1024, 80, payload=b"hello"), 6)
RAW_IP4, COOKED, UNKNOWN = 101, 113, 9999


def test_a_packet_with_its_time_and_length() -> None:
    batch = FileBatch(records([ethernet(PACKET, 0x0800)] * 2))
    batch.records.array["len"][1] = 1500
    packet = batch.scapy(1)
    assert packet.summary() == "Ether / IP / TCP 10.0.0.1:1024 > 10.0.0.2:http A / Raw"
    assert packet.time == batch.ts_ns[1] / 10**9
    assert packet.wirelen == 1500
    assert bytes(packet) == batch.bytes(1)
    assert batch.scapy(-1).wirelen == 1500


@pytest.mark.parametrize(
    ("link_type", "head", "layer"), [(RAW_IP4, b"", "IP"), (COOKED, bytes(14) + b"\x08\0", "cooked linux")]
)
def test_other_link_types(link_type: int, head: bytes, layer: str) -> None:
    packet = FileBatch(records([head + PACKET], link_type=link_type)).scapy(0)
    assert packet.name == layer
    assert packet["TCP"].dport == 80


def test_a_link_type_that_scapy_does_not_know() -> None:
    packet = FileBatch(records([b"abc"], link_type=UNKNOWN)).scapy(0)
    assert (packet.name, bytes(packet)) == ("Raw", b"abc")


def test_a_packet_that_is_not_there() -> None:
    with pytest.raises(IndexError, match="packet 1 of a batch of 1"):
        FileBatch(records([b"abc"])).scapy(1)
