"""Our lines and tcpdump's: the same, for every Ethernet capture and for frames made by hand."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from support import packets, tcpdump
from support.frames import ETHERNET, ethernet_captures
from support.packets import Case

from pfq.cli.decode import Decoder, Style
from pfq.errors import FileFormatError
from pfq.files import read_frames

pytestmark = pytest.mark.skipif(tcpdump.missing() is not None, reason=str(tcpdump.missing()))

STYLES = {
    "": Style(),
    "e": Style(link=True),
    "q": Style(quiet=True, dump=False),
    "eq": Style(link=True, quiet=True, dump=False),
    "S": Style(absolute=True),
    "v": Style(verbose=1),
    "vv": Style(verbose=2),
    "ev": Style(link=True, verbose=1),
}


def frames_of(path: Path) -> list[Case]:
    """Ethernet frames with their length on the wire, up to where the file is damaged."""
    found: list[Case] = []
    with suppress(FileFormatError):
        for frame in read_frames(path):
            if frame.link_type == ETHERNET:
                found.append((frame.data, frame.len))  # noqa: PERF401 - those before the damage count
    return found


def our_lines(frames: list[Case], style: Style) -> list[str]:
    decoder = Decoder(style)
    return [decoder.decode(data, size).text for data, size in frames]


DIFFERING = {
    "pcapplusplus-VlanPackets.pcap": 6,  # CDP
    "pcapplusplus-llc_vlan.pcap": 1,  # CDP
    "pcapplusplus-ipv6_options.pcap": 2,  # OSPF
}
"""Lines that differ, because tcpdump decodes a protocol there that we only name; 0 in the other captures."""


@pytest.mark.parametrize("path", ethernet_captures(), ids=lambda path: path.name)
def test_quiet_lines_of_a_capture(path: Path, tmp_path: Path) -> None:
    """With -q tcpdump stops at layer 4 too, so the lines are equal to the letter."""
    frames = frames_of(path)
    theirs = tcpdump.lines(frames, "eq", tmp_path)
    ours = our_lines(frames, STYLES["eq"])
    assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == DIFFERING.get(path.name, 0)


@pytest.mark.parametrize("flags", ["e", "v"])
@pytest.mark.parametrize("path", ethernet_captures(), ids=lambda path: path.name)
def test_full_lines_of_a_capture(path: Path, flags: str, tmp_path: Path) -> None:
    frames = frames_of(path)
    theirs = tcpdump.lines(frames, flags, tmp_path)
    ours = our_lines(frames, STYLES[flags])
    differing = sum(not same_up_to_layer_4(a, b) for a, b in zip(ours, theirs, strict=True))
    assert differing == DIFFERING.get(path.name, 0)


def same_up_to_layer_4(ours: str, theirs: str) -> bool:
    """tcpdump's line may go on with what TCP carries, or show what UDP carries in place of its length."""
    if "Flags [" in ours:
        return theirs.startswith(ours)
    return theirs.startswith(re.sub(r"UDP, (bad )?length [0-9 >]+$", "", ours))


@pytest.mark.parametrize("flags", STYLES)
@pytest.mark.parametrize("family", packets.FAMILIES)
def test_frames_made_by_hand(family: str, flags: str, tmp_path: Path) -> None:
    frames = packets.FAMILIES[family]()
    assert our_lines(frames, STYLES[flags]) == tcpdump.lines(frames, flags, tmp_path)
