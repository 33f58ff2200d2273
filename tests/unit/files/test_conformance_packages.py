"""The captures that tcpdump and Wireshark test with, from Debian's source packages: `pytest --fetch` gets them."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from support.debian import CAPTURES, Unavailable, captures
from support.otherreaders import Found, capinfos, missing, tcpdump, tcpdump_packets
from support.rewriting import content, frames, rewrite

from pfq.errors import FileFormatError
from pfq.files import read_frames

FILES = {"tcpdump": 600, "wireshark": 100}
"""How many files each package has at least, so that an empty folder is no success."""

UNABLE = "doesn't support"
"""How capinfos begins when a link type is unknown to it."""

DIFFERENT = "different from the"
"""How tcpdump ends when interfaces differ."""

LATEST_NS = (1 << 64) - 1
"""What records have for a time that is later; tcpdump leaves out its upper bits."""


def error_of(path: Path) -> str:
    """What is wrong with a file, or nothing."""
    try:
        for _ in read_frames(path):
            pass
    except FileFormatError as error:
        return str(error)
    return ""


class Told(NamedTuple):
    """What the others say of a file: tcpdump, which reads no compressed ones, is given a plain copy."""

    capinfos: Found
    tcpdump: Found
    packets: list[tuple[int, int, bytes]]


def told(path: Path, folder: Path) -> Told:
    plain = path
    if path.suffix == ".gz":
        plain = folder / path.name.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(path.read_bytes()))
    by_tcpdump = tcpdump(plain)
    return Told(capinfos(plain), by_tcpdump, [] if by_tcpdump.complaint else tcpdump_packets(plain))


@pytest.mark.slow
@pytest.mark.skipif(bool(missing("capinfos") or missing("tcpdump")), reason="needs capinfos and tcpdump")
@pytest.mark.parametrize("package", CAPTURES)
def test_M4_read_as_by_others_and_written_again(package: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    try:
        folder = captures(package, request.config.getoption("--fetch"))
    except Unavailable as why:
        pytest.skip(str(why))
    paths = sorted(folder.iterdir())
    assert len(paths) >= FILES[package]
    with ThreadPoolExecutor(2) as pool:
        judged = list(pool.map(lambda path: told(path, tmp_path), paths))
    for path, others in zip(paths, judged, strict=True):
        packets = frames(path)
        if UNABLE not in others.capinfos.complaint:
            assert len(packets) == others.capinfos.packets, path
            assert bool(error_of(path)) == bool(others.capinfos.complaint), path
        if DIFFERENT not in others.tcpdump.complaint:
            assert len(packets) == len(others.packets), path
            for packet, (ts_ns, size, data) in zip(packets, others.packets, strict=True):
                assert (packet.len, packet.data[: len(data)]) == (size, data), path  # it cuts at the snap length
                assert packet.ts_ns in (ts_ns, LATEST_NS), path
            assert bool(error_of(path)) == bool(others.tcpdump.complaint), path
        rewrite(path, tmp_path / "copy")
        assert content(frames(tmp_path / "copy")) == content(packets), path
