from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from support.capturefiles import Blocks, pcap_header, pcap_record

from pfq.columns.ethernet import ETHERNET, as_ethernet
from pfq.columns.records import Records
from pfq.files import CaptureFile

CAPTURES = Path(__file__).parents[2] / "captures"
B = Blocks()
V4, V6 = b"\x45" + bytes(range(1, 40)), b"\x60" + bytes(range(1, 60))
IPV4, IPV6, ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
MAC = bytes.fromhex("0203040506aa")


def frame(payload: bytes, ether_type: bytes, source: bytes = bytes(6)) -> bytes:
    return bytes(6) + source + ether_type + payload


def sll(protocol: bytes, address: bytes = MAC, size: int = 6) -> bytes:
    return b"\x00\x00\x00\x01" + size.to_bytes(2, "big") + address.ljust(8, b"\0") + protocol


def sll2(protocol: bytes, address: bytes = MAC, size: int = 6) -> bytes:
    return protocol + bytes(8) + b"\x00" + bytes([size]) + address.ljust(8, b"\0")


MADE: dict[str, tuple[int, bytes, bytes]] = {
    "raw IPv4": (101, V4, frame(V4, IPV4)),
    "raw IPv6": (101, V6, frame(V6, IPV6)),
    "raw of BSD": (12, V4, frame(V4, IPV4)),
    "raw of OpenBSD": (14, V6, frame(V6, IPV6)),
    "IPv4": (228, V4, frame(V4, IPV4)),
    "IPv4 without bytes": (228, b"", frame(b"", IPV4)),
    "IPv6": (229, V6, frame(V6, IPV6)),
    "loopback": (0, b"\x02\0\0\0" + V4, frame(V4, IPV4)),
    "loopback of the other byte order": (0, b"\0\0\0\x02" + V4, frame(V4, IPV4)),
    **{f"loopback of IPv6, {n}": (0, bytes([n, 0, 0, 0]) + V6, frame(V6, IPV6)) for n in (10, 24, 28, 30)},
    "OpenBSD's loopback": (108, b"\0\0\0\x18" + V6, frame(V6, IPV6)),
    "cooked": (113, sll(IPV4) + V4, frame(V4, IPV4, MAC)),
    "cooked ARP": (113, sll(ARP) + b"arp", frame(b"arp", ARP, MAC)),
    "cooked, tagged": (113, sll(b"\x81\x00") + b"\0\x05" + IPV4 + V4, frame(b"\0\x05" + IPV4 + V4, b"\x81\x00", MAC)),
    "cooked without address": (113, sll(IPV4, size=0) + V4, frame(V4, IPV4)),
    "cooked 802.2": (113, sll(b"\0\x04") + b"\x42\x42\x03", frame(b"\x42\x42\x03", b"\0\x03", MAC)),
    "cooked, version 2": (276, sll2(IPV6) + V6, frame(V6, IPV6, MAC)),
    "PPP": (9, b"\xff\x03\x00\x21" + V4, frame(V4, IPV4)),
    "PPP without address": (9, b"\x00\x57" + V6, frame(V6, IPV6)),
    "PPP, short": (9, b"\x21" + V4, frame(V4, IPV4)),
    "PPP with MPLS": (9, b"\xff\x03\x02\x81" + b"label", frame(b"label", b"\x88\x47")),
    "PPP with MPLS multicast": (9, b"\x02\x83" + b"label", frame(b"label", b"\x88\x48")),
}
NOTHING: dict[str, tuple[int, bytes]] = {
    "raw without bytes": (101, b""),
    "raw of another version": (101, b"\x50" + bytes(40)),
    "loopback cut": (0, b"\x02\0\0"),
    "loopback of another family": (0, b"\x63\0\0\0" + V4),
    "OpenBSD's loopback in the other order": (108, b"\x02\0\0\0" + V4),
    "cooked cut": (113, sll(IPV4)[:-1]),
    "cooked of no Ethernet type": (113, sll(b"\0\x0c") + V4),
    "cooked, version 2, cut": (276, sll2(IPV4)[:-1]),
    "PPP cut": (9, b"\xff\x03\x00"),
    "PPP empty": (9, b""),
    "PPP of its own": (9, b"\xff\x03\xc0\x21" + bytes(20)),
    "802.11": (105, bytes(60)),
    "USB": (220, V4),
}


def records(link_type: int, *packets: bytes, size: int | None = None) -> Records:
    data = pcap_header(network=link_type) + b"".join(pcap_record(packet, 7, 8, size=size) for packet in packets)
    with CaptureFile(io.BytesIO(data)) as file:
        (run,) = file.runs()
    return run


@pytest.mark.parametrize("name", MADE)
def test_frames_that_are_made(name: str) -> None:
    link_type, packet, expected = MADE[name]
    run = as_ethernet(records(link_type, packet, packet))
    assert [run.bytes(i) for i in range(2)] == [expected] * 2
    assert run.array["len"].tolist() == run.array["caplen"].tolist() == [len(expected)] * 2
    assert run.array["link_type"].tolist() == [ETHERNET] * 2
    assert run.array["ts_ns"].tolist() == [7_000_008_000] * 2


@pytest.mark.parametrize("name", NOTHING)
def test_packets_of_which_nothing_is_left(name: str) -> None:
    link_type, packet = NOTHING[name]
    run = as_ethernet(records(link_type, packet, size=100))
    assert (run.bytes(0), run.array["len"].tolist(), run.array["link_type"].tolist()) == (b"", [0], [link_type])


def test_lengths_of_packets_that_were_cut() -> None:
    run = as_ethernet(records(113, sll(IPV4) + V4, size=1516))
    assert (run.array["caplen"].tolist(), run.array["len"].tolist()) == ([14 + len(V4)], [1514])
    run = as_ethernet(records(228, V4, size=(1 << 32) - 1))
    assert run.array["len"].tolist() == [(1 << 32) - 1]
    run = as_ethernet(records(113, sll(IPV4) + V4, size=3))
    assert (run.array["caplen"].tolist(), run.array["len"].tolist()) == ([14 + len(V4)], [14])


def test_ethernet_stays_as_it_is() -> None:
    run = records(ETHERNET, V4, V6)
    assert as_ethernet(run) is run


def test_link_types_in_turn() -> None:
    data = B.section() + B.interface(1) + B.interface(228) + B.interface(105)
    data += b"".join(B.packet(V4, number=number) for number in (0, 1, 2, 1, 0))
    with CaptureFile(io.BytesIO(data)) as file:
        (run,) = file.runs()
    made = as_ethernet(run)
    assert [made.bytes(i) for i in range(5)] == [V4, frame(V4, IPV4), b"", frame(V4, IPV4), V4]
    assert made.array["interface"].tolist() == [0, 1, 2, 1, 0]
    assert made.array["data"][[0, 4]].tolist() == run.array["data"][[0, 4]].tolist()
    assert [run.bytes(i) for i in range(5)] == [V4] * 5


def test_none() -> None:
    run = records(228, V4)
    none = Records(run.array[:0], run.keep)
    assert as_ethernet(none) is none


REAL = {
    "pcapplusplus-sll.pcap": {0x0800},
    "pcapplusplus-four_ipv6_http_streams.pcap": {0x86DD},
    "pcapplusplus-linktype_ipv6.pcap": {0x86DD},
    "tcpdump-mpls-traceroute.pcap": {0x0800, 0x8847},
}


@pytest.mark.parametrize("name", REAL)
def test_real_captures(name: str) -> None:
    with CaptureFile(CAPTURES / name) as file:
        runs = [as_ethernet(run) for run in file.runs()]
    types = {int.from_bytes(run.bytes(i)[12:14], "big") for run in runs for i in range(len(run))}
    assert types >= REAL[name]
    assert all(np.all(run.array["link_type"] == ETHERNET) for run in runs)
