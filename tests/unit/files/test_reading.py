from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import pytest
from support.capturefiles import Blocks, pcap_header, pcap_record

from pfq.errors import FileAccessError, FileFormatError
from pfq.files import Frame, read_frames

CAPTURES = Path(__file__).parents[2] / "captures"

# Packets as `tcpdump --count` tells, time of the last one as `tcpdump -tt --nano` prints it, link types.
# tcpdump refuses the file with several link types; its figures come from counting its blocks.
FIGURES = {
    "pcapplusplus-650HttpResponses.pcap": (682, "1413746543.804951000", {1}),
    "pcapplusplus-DnsPackets.pcap": (464, "1413056207.820523000", {1}),
    "pcapplusplus-IPv4-encapsulated-IPv6.pcap": (1, "1121499076.424250000", {1}),
    "pcapplusplus-QinQ_802.1_AD.pcapng": (1, "1430378523.814664000", {1}),
    "pcapplusplus-VlanPackets.pcap": (26, "1277840530.538713000", {1}),
    "pcapplusplus-Vxlan1.pcap": (1, "1368908505.838156000", {1}),
    "pcapplusplus-example.pcap": (4631, "1367526049.137582000", {1}),
    "pcapplusplus-four_ipv6_http_streams.pcap": (81, "1147551799.429522000", {12}),
    "pcapplusplus-gtp-u.pcap": (102, "1260442465.232194000", {1}),
    "pcapplusplus-ip4_fragments.pcap": (53, "1214528320.101918000", {1}),
    "pcapplusplus-ipv6.pcapng": (35, "1442544369.881075000", {1}),
    "pcapplusplus-ipv6_opt_fragments.pcap": (4, "1439408113.569349000", {1}),
    "pcapplusplus-ipv6_options.pcap": (6, "1331476301.020647000", {1}),
    "pcapplusplus-linktype_ipv6.pcap": (1, "1147551795.526632000", {229}),
    "pcapplusplus-llc_vlan.pcap": (1, "1277840510.969363000", {1}),
    "pcapplusplus-many_interfaces-1.pcapng": (64, "1439753728.292345000", {0, 1}),
    "pcapplusplus-nanosecs.pcap": (2, "1.000001234", {1}),
    "pcapplusplus-sip_reqs.pcap": (4, "1480255719.610514000", {1}),
    "pcapplusplus-sip_resp.pcap": (7, "1412966549.724840000", {1}),
    "pcapplusplus-sll.pcap": (518, "1465939118.808423000", {113}),
    "tcpdump-802.1ad_QinQ.pcap": (2, "1575842394.599680000", {1}),
    "tcpdump-bigtcp-ipv6-hbh.pcap": (1, "1759760007.172200000", {1}),
    "tcpdump-dns_tcp.pcap": (11, "1591780864.101256000", {1}),
    "tcpdump-dns_udp.pcap": (2, "1591780794.870361000", {1}),
    "tcpdump-geneve.pcap": (39, "1422828275.817506000", {1}),
    "tcpdump-gre-heapoverflow-1.pcap": (2, "808464432.999999000", {1}),
    "tcpdump-heap-overflow-1.pcap": (1, "808464432.999999000", {101}),
    "tcpdump-heapoverflow-tcp_print.pcap": (1, "808464432.999999000", {1}),
    "tcpdump-icmpv6.pcap": (5, "1358571281.057031000", {1}),
    "tcpdump-ip6_frag_asan.pcap": (1, "2145916800.000000000", {1}),
    "tcpdump-ipv6-routing-header.pcap": (4, "1170175894.608086000", {1}),
    "tcpdump-ipv6-srh-ext-header.pcap": (1, "1514564971.085223000", {1}),
    "tcpdump-lmp.pcap": (18, "1082989220.065749000", {1}),
    "tcpdump-mpls-traceroute.pcap": (18, "1087208009.611307000", {9}),
    "tcpdump-nfs-write-verf-cookie.pcapng": (2, "1535100872.731527000", {1}),
    "tcpdump-rtp-seg-fault-1.pcapng": (1, "581.000000000", {1}),
    "tcpdump-vxlan.pcap": (10, "1368908507.885359000", {1}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_real_captures(name: str) -> None:
    frames = list(read_frames(CAPTURES / name))
    count, last, link_types = FIGURES[name]
    assert len(frames) == count
    seconds, ns = divmod(frames[-1].ts_ns, 10**9)
    assert f"{seconds}.{ns:09}" == last
    assert {frame.link_type for frame in frames} == link_types
    assert all(len(frame.data) <= frame.len for frame in frames)


def test_every_capture_has_its_figures() -> None:
    assert {path.name for path in CAPTURES.glob("*.pcap*")} == set(FIGURES)


def pcap(
    *records: tuple[int, int, bytes, int], order: str = "<", magic: int = 0xA1B2C3D4, major: int = 2, network: int = 1
) -> bytes:
    """A pcap file; a record is seconds, fraction, bytes, length on the wire."""
    head = pcap_header(order, magic, (major, 4), network=network)
    return head + b"".join(pcap_record(data, s, f, size=size, order=order) for s, f, data, size in records)


B = Blocks()


def read(tmp_path: Path, data: bytes) -> list[Frame]:
    path = tmp_path / "file"
    path.write_bytes(data)
    return list(read_frames(path))


@pytest.mark.parametrize("order", "<>")
def test_pcap_in_both_byte_orders_and_units(tmp_path: Path, order: str) -> None:
    records = ((5, 7, b"abc", 60), (6, 8, b"", 0))
    assert read(tmp_path, pcap(*records, order=order)) == [
        Frame(5_000_007_000, 60, b"abc", 1, 0),
        Frame(6_000_008_000, 0, b"", 1, 0),
    ]
    assert read(tmp_path, pcap(*records, order=order, magic=0xA1B23C4D))[0].ts_ns == 5_000_000_007


def test_pcap_link_type_without_the_bits_above(tmp_path: Path) -> None:
    assert read(tmp_path, pcap((0, 0, b"", 0), network=0x3400_0071))[0].link_type == 113


def test_pcap_without_packets(tmp_path: Path) -> None:
    assert read(tmp_path, pcap()) == []


@pytest.mark.parametrize("order", "<>")
def test_pcapng_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    b = Blocks(order)
    data = b.section() + b.interface() + b.block(0xBAD, b"whatever") + b.packet(b"abcde", units=1 << 33, size=99)
    assert read(tmp_path, data) == [Frame((1 << 33) * 1000, 99, b"abcde", 1, 0)]


RESOLUTIONS = {
    "microseconds": ([], 5_000),
    "nanoseconds": ([(9, b"\x09")], 5),
    "seconds": ([(9, b"\x00")], 5_000_000_000),
    "eighths": ([(9, b"\x83")], 625_000_000),
    "beyond nanoseconds": ([(9, b"\x0c")], 0),
    "with an offset": ([(9, b"\x09"), (14, struct.pack("<q", 3))], 3_000_000_005),
    "before 1970": ([(9, b"\x09"), (14, struct.pack("<q", -3))], 0),
    "beyond 64 bits": ([(9, b"\x09"), (14, struct.pack("<q", 1 << 62))], (1 << 64) - 1),
    "other options": ([(2, b"eth0"), (9, b"\x09"), (0, b""), (9, b"\x06")], 5),
}


@pytest.mark.parametrize(("options", "ns"), RESOLUTIONS.values(), ids=RESOLUTIONS)
def test_pcapng_resolutions(tmp_path: Path, options: list[tuple[int, bytes]], ns: int) -> None:
    assert read(tmp_path, B.section() + B.interface(options=options) + B.packet(b"", units=5))[0].ts_ns == ns


def test_pcapng_interfaces_and_sections(tmp_path: Path) -> None:
    big = Blocks(">")
    data = B.section() + B.interface(1) + B.interface(113) + B.packet(b"a", number=1) + B.packet(b"b")
    data += big.section() + big.interface(12) + big.packet(b"c")
    assert [(f.data, f.link_type, f.interface) for f in read(tmp_path, data)] == [
        (b"a", 113, 1),
        (b"b", 1, 0),
        (b"c", 12, 2),
    ]


def test_pcapng_simple_and_old_packets(tmp_path: Path) -> None:
    data = B.section() + B.interface(snaplen=3)
    data += B.block(3, B.pack("I", 60) + b"abc") + B.block(3, B.pack("I", 2) + b"xy")
    data += B.block(2, B.pack("HHIIII", 0, 7, 0, 5, 2, 50) + b"de")
    assert read(tmp_path, data) == [
        Frame(0, 60, b"abc", 1, 0),
        Frame(0, 2, b"xy", 1, 0),
        Frame(5000, 50, b"de", 1, 0),
    ]


ONE = pcap((0, 0, b"abcd", 4))
START = B.section() + B.interface()
DAMAGED = {
    "empty": (b"", "offset 0: the file is empty"),
    "short": (b"\xd4\xc3", "offset 0: the file ends in its first word"),
    "text": (b"Hello, world", r"offset 0: neither pcap nor pcapng \(it begins with 48656c6c\)"),
    "pcap header cut": (ONE[:20], "offset 0: the file ends in the header"),
    "pcap version": (pcap(major=3), "offset 0: version 3.4 of pcap is unknown"),
    "pcap record header cut": (ONE[:30], r"offset 24: the file ends in the header of a packet \(6 of 16 bytes\)"),
    "pcap data cut": (ONE[:-1], r"offset 24: the file ends in a packet \(3 of 4 bytes\)"),
    "pcap caplen": (ONE[:32] + b"\xff" * 8, "offset 24: a length of 4294967295 bytes is not credible"),
    "section cut": (START[:8], "offset 0: the file ends in a section header"),
    "section mark": (START[:8] + b"abcd", "offset 0: a section header without its byte-order mark"),
    "section version": (B.section(major=2), "offset 0: version 2.0 of pcapng is unknown"),
    "section too small": (START[:4] + B.pack("I", 12) + START[8:], "offset 0: a block cannot have 12 bytes"),
    "block type cut": (START + b"\6\0", r"offset 48: the file ends in a block \(2 of 8 bytes\)"),
    "block length cut": (START + b"\6\0\0\0\1", r"offset 48: the file ends in a block \(5 of 8 bytes\)"),
    "block cut": (START + B.packet(b"abcd")[:-6], "offset 48: the file ends in a block"),
    "lengths differ": (START + B.packet(b"")[:-4] + b"\0\0\0\0", "offset 48: the two lengths of a block differ"),
    "caplen over block": (START + B.packet(b"", caplen=5), "offset 48: a packet of 5 bytes in a smaller block"),
    "no interface": (B.section() + B.packet(b""), "offset 28: a packet of interface 0, but the section has 0"),
    "unknown interface": (START + B.packet(b"", number=1), "offset 48: a packet of interface 1, but the section has 1"),
    "packet too short": (START + B.block(6, b"abcd"), "offset 48: a block too short for its kind"),
    "simple without interface": (B.section() + B.block(3, b"\0\0\0\0"), "offset 28: a packet of interface 0"),
    "option too long": (
        B.section() + B.block(1, bytes(8) + B.pack("HH", 9, 50)),
        "offset 28: an option longer than its block",
    ),
    **{
        f"block length {size}": (START + B.pack("II", 6, size), f"offset 48: a block cannot have {size} bytes")
        for size in (0, 8, 11, 13, 0xFFFFFFFF)
    },
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_with_its_offset(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"file: at {message}"):
        read(tmp_path, data)


def test_packets_before_the_damage_are_given(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(ONE + b"rest")
    frames = read_frames(path)
    assert next(frames).data == b"abcd"
    with pytest.raises(FileFormatError, match="offset 44"):
        next(frames)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file") as caught:
        next(read_frames(tmp_path / "none"))
    assert caught.value.hint


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="Is a directory"):
        next(read_frames(tmp_path))


def test_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(ONE))
    writer.start()
    assert [frame.data for frame in read_frames(path)] == [b"abcd"]
    writer.join()
