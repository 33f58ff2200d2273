"""What is read and written again is the same, and other programs read it without a complaint."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.brokenfiles import SHAPES
from support.corpora import CAPTURES, GOPACKET
from support.otherreaders import capinfos, missing, python_pcapng, tcpdump, tcpdump_packets
from support.rewriting import content, frames, rewrite

REAL = [*sorted(CAPTURES.glob("*.pcap*")), *sorted(GOPACKET.glob("*/*.pcapng"))]
IDS = [path.name if path.parent == CAPTURES else f"{path.parent.name}-{path.name}" for path in REAL]


@pytest.mark.parametrize("path", REAL, ids=IDS)
def test_M4_round_trip(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    packets = frames(path)
    rewrite(path, copy)
    assert content(frames(copy)) == content(packets)
    if len({packet.link_type for packet in packets}) < 2:
        rewrite(path, copy, pcap=True)
        assert content(frames(copy)) == content(packets)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pcapng")
@pytest.mark.skipif(bool(missing("capinfos") or missing("tcpdump")), reason="needs capinfos and tcpdump")
@pytest.mark.parametrize("path", REAL, ids=IDS)
def test_others_read_what_we_write(path: Path, tmp_path: Path) -> None:
    packets = frames(path)
    one_type = len({packet.link_type for packet in packets}) == 1
    for pcap in (False, True)[: 1 + one_type]:
        copy = tmp_path / "copy"
        rewrite(path, copy, pcap=pcap)
        told = capinfos(copy)
        assert (told.packets, told.data_bytes, told.complaint) == (len(packets), sum(p.len for p in packets), "")
        if pcap or tcpdump(path).complaint == "":  # it refuses files whose interfaces differ
            assert tcpdump(copy).complaint == ""
            assert tcpdump_packets(copy) == [(p.ts_ns, p.len, p.data) for p in packets]
        if not pcap and missing("pcapng") is None:
            assert [(p.ts_ns, p.len, p.data, p.link_type) for p in python_pcapng(copy)] == content(packets)


def test_M4_round_trip_of_shapes(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name, shape in SHAPES.items():
        if shape.packets:
            path = tmp_path / "shape"
            path.write_bytes(shape.data)
            rewrite(path, copy)
            assert content(frames(copy)) == content(frames(path)), name
