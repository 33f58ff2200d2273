"""What other programs find in capture files, to compare with."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECOND_NS = 1_000_000_000
COUNTERS = ("isb_ifrecv", "isb_ifdrop", "isb_filteraccept", "isb_osdrop", "isb_usrdeliv")
"""Of interface statistics blocks."""


def missing(program: str) -> str | None:
    """Why a program, or the Python package `pcapng`, cannot be the judge; None when it can."""
    if program == "pcapng":
        return None if importlib.util.find_spec("pcapng") else "python-pcapng is not installed"
    return None if shutil.which(program) else f"{program} is not installed"


@dataclass(frozen=True)
class Found:
    """What a program says of a file.

    packets        None when it refuses the file
    encapsulation  capinfos' name of the link type
    data_bytes     sum of the lengths on the wire
    """

    packets: int | None
    complaint: str
    encapsulation: str = ""
    data_bytes: int = 0


@dataclass(frozen=True)
class Packet:
    """One packet as another reader sees it; `ts_ns` is None where the file has no time for it."""

    ts_ns: int | None
    len: int
    data: bytes
    link_type: int


def capinfos(path: Path) -> Found:
    """Wireshark's capinfos: packets, however many link types and snap lengths a file has."""
    ran = _run("capinfos", "-TrmcdE", str(path))
    columns = ran.stdout.strip().rsplit(",", 3)[1:]
    if ran.returncode or len(columns) < 3:
        return Found(None, ran.stderr.strip())
    encapsulation, packets, data_bytes = columns
    return Found(int(packets), ran.stderr.strip(), encapsulation, int(data_bytes))


def tcpdump(path: Path) -> Found:
    """tcpdump's count; it refuses files whose interfaces differ."""
    ran = _run("tcpdump", "-r", str(path), "--count")
    number = re.search(r"^(\d+) packets?$", ran.stdout, re.MULTILINE)
    complaints = [line for line in ran.stderr.splitlines() if not line.startswith("reading from")]
    return Found(int(number[1]) if number else None, "\n".join(complaints))


def tcpdump_packets(path: Path) -> list[tuple[int, int, bytes]]:
    """Time, length and bytes of every packet that `tcpdump -w` copies."""
    with path.open("rb") as file:
        micro = file.read(4) in (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1")  # whose odd times it would spoil
    command = ["tcpdump", "-r", str(path), f"--time-stamp-precision={'micro' if micro else 'nano'}", "-w", "-"]
    copy = subprocess.run(command, capture_output=True, check=True).stdout
    unit_ns = 1000 if micro else 1
    found, at = [], 24
    while at < len(copy):
        seconds, fraction, caplen, size = struct.unpack_from("IIII", copy, at)
        found.append((seconds * SECOND_NS + fraction * unit_ns, size, copy[at + 16 : at + 16 + caplen]))
        at += 16 + caplen
    return found


def tshark(path: Path) -> list[tuple[str, int, int]]:
    """Time as printed (empty for none), length and captured length of every packet."""
    fields = ["frame.time_epoch", "frame.len", "frame.cap_len"]
    ran = _run("tshark", "-n", "-r", str(path), "-T", "fields", *(f"-e{field}" for field in fields))
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    return [(time, int(size), int(caplen)) for time, size, caplen in rows]


def python_pcapng(path: Path) -> Iterator[Packet]:
    """python-pcapng's packets; only enhanced, simple and old packet blocks."""
    from pcapng import FileScanner
    from pcapng.blocks import EnhancedPacket, ObsoletePacket, SimplePacket

    with path.open("rb") as file:
        for block in FileScanner(file):
            if isinstance(block, EnhancedPacket | ObsoletePacket):
                units = block.timestamp_high << 32 | block.timestamp_low
                units_per_second = round(1 / block.timestamp_resolution)
                yield Packet(
                    units * SECOND_NS // units_per_second,
                    block.packet_len,
                    bytes(block.packet_data),
                    block.interface.link_type,
                )
            elif isinstance(block, SimplePacket):
                yield Packet(None, block.packet_len, bytes(block.packet_data), block.interface.link_type)


@dataclass
class Interface:
    """An interface as python-pcapng sees it; `counts` are those of its statistics blocks, a later one counts."""

    link_type: int
    snaplen: int
    name: str
    description: str
    os: str
    units_per_second: int
    counts: dict[str, int]


def python_pcapng_interfaces(path: Path) -> list[Interface]:
    """The interfaces of all sections one after the other."""
    from pcapng import FileScanner
    from pcapng.blocks import InterfaceDescription, InterfaceStatistics, SectionHeader

    found: list[Interface] = []
    first = 0
    with path.open("rb") as file:
        for block in FileScanner(file):
            if isinstance(block, SectionHeader):
                first = len(found)
            elif isinstance(block, InterfaceDescription):
                texts = [_text(block, option) for option in ("if_name", "if_description", "if_os")]
                units_per_second = round(1 / block.timestamp_resolution)
                found.append(Interface(block.link_type, block.snaplen, *texts, units_per_second, {}))
            elif isinstance(block, InterfaceStatistics):
                counts = {name: block.options[name] for name in COUNTERS if name in block.options}
                found[first + block.interface_id].counts |= counts
    return found


def _text(block: Any, option: str) -> str:
    return str(block.options[option]).rstrip("\0") if option in block.options else ""


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace")
