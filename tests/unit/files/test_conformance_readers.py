"""The captures as other programs read them: capinfos, tcpdump, tshark and python-pcapng."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from support.corpora import CAPTURES, GOPACKET
from support.otherreaders import (
    COUNTERS,
    SECOND_NS,
    Interface,
    capinfos,
    missing,
    python_pcapng,
    python_pcapng_interfaces,
    tcpdump,
    tcpdump_packets,
    tshark,
)

from pfq.files import Frame, read_frames
from pfq.files.capfile import CaptureFile

FILES = sorted(CAPTURES.glob("*.pcap*"))
PCAPNG = [*sorted(CAPTURES.glob("*.pcapng")), *sorted(GOPACKET.glob("*/*.pcapng"))]
# What the others cannot be asked about.
SEVERAL_LINK_TYPES = {"pcapplusplus-many_interfaces-1.pcapng"}  # tcpdump refuses them
OTHER_BLOCKS = {f"test{number}.pcapng" for number in ("017", "018", "102", "202")}  # tshark shows them as packets
UNKNOWN_VERSION = {"test901.pcapng"}  # nobody reads it to its end
IF_FILTER = {"test008.pcapng"}  # python-pcapng does not get over this option

ENCAPSULATIONS = {1: "ether", 9: "ppp", 12: "rawip", 101: "rawip", 113: "linux-sll", 229: "rawip6"}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(missing(program) is not None, reason=str(missing(program)))


def names(paths: list[Path]) -> list[str]:
    return [path.name if path.parent == CAPTURES else f"{path.parent.name}-{path.name}" for path in paths]


def without(left_out: set[str], orders: tuple[str, ...] = ("le", "be")) -> dict[str, Any]:
    """The pcapng files but some, and conformance files in some byte orders, as arguments of `parametrize`."""
    folders = (CAPTURES.name, *orders)
    paths = [path for path in PCAPNG if path.name not in left_out and path.parent.name in folders]
    return {"argvalues": paths, "ids": names(paths)}


def printed(frame: Frame) -> str:
    """A time as tcpdump and tshark print it."""
    seconds, ns = divmod(frame.ts_ns, SECOND_NS)
    return f"{seconds}.{ns:09}"


@needs("capinfos")
@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_counts_of_capinfos(path: Path) -> None:
    frames = list(read_frames(path))
    told = capinfos(path)
    assert (len(frames), sum(frame.len for frame in frames)) == (told.packets, told.data_bytes)
    link_types = {frame.link_type for frame in frames}
    assert (ENCAPSULATIONS[link_types.pop()] if len(link_types) == 1 else "per-packet") == told.encapsulation


@needs("tcpdump")
@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_packets_of_tcpdump(path: Path) -> None:
    if path.name in SEVERAL_LINK_TYPES:
        assert "different from the type of the first interface" in tcpdump(path).complaint
        return
    assert [(frame.ts_ns, frame.len, frame.data) for frame in read_frames(path)] == tcpdump_packets(path)


@needs("tshark")
@pytest.mark.parametrize("path", **without(OTHER_BLOCKS | UNKNOWN_VERSION, orders=("le",)))
def test_times_and_lengths_of_tshark(path: Path) -> None:
    frames = [(printed(frame), frame.len, len(frame.data)) for frame in read_frames(path)]
    # A simple packet has no time: tshark prints none for it, or 0.
    assert frames == [(time or "0.000000000", *rest) for time, *rest in tshark(path)]


@needs("pcapng")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pcapng")
@pytest.mark.parametrize("path", **without(IF_FILTER | UNKNOWN_VERSION))
def test_packets_of_python_pcapng(path: Path) -> None:
    expected = [(packet.ts_ns or 0, packet.len, packet.data, packet.link_type) for packet in python_pcapng(path)]
    assert [(frame.ts_ns, frame.len, frame.data, frame.link_type) for frame in read_frames(path)] == expected


@needs("pcapng")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pcapng")
@pytest.mark.parametrize("path", **without(IF_FILTER | UNKNOWN_VERSION))
def test_interfaces_of_python_pcapng(path: Path) -> None:
    found = []
    with CaptureFile(path) as file:
        for _ in file.runs():
            pass
        for number, told in enumerate(file.interfaces):
            assert told.number == number
            counts = file.statistics.get(number)
            given = zip(COUNTERS, astuple(counts) if counts else (), strict=bool(counts))
            known = {name: count for name, count in given if count is not None}
            texts = (told.name, told.description, told.os)
            found.append(Interface(told.link_type, told.snaplen, *texts, told.resolution, known))
    assert found == python_pcapng_interfaces(path)
