"""Other programs that do the same jobs. Each function returns packets done; None when the program is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


def missing(name: str) -> bool:
    """Whether a program or a Python package is not installed here."""
    return shutil.which(name) is None and find_spec(name) is None


def tcpdump_filter(path: Path, expression: str) -> None:
    """Writes what an expression accepts to nowhere, which is how tcpdump is asked to do nothing else."""
    _tcpdump("-r", str(path), "-w", "/dev/null", expression)


def tcpdump_copy(path: Path, out: Path) -> None:
    """Writes all packets to another file."""
    _tcpdump("-r", str(path), "-w", str(out))


def _tcpdump(*arguments: str) -> None:
    subprocess.run(["tcpdump", *arguments], stderr=subprocess.DEVNULL, check=True)


def pcapy_loop(path: Path) -> int:
    """pcapy-ng: a callback for each packet that only counts."""
    import pcapy

    seen = 0

    def count(_header: object, _data: bytes) -> None:
        nonlocal seen
        seen += 1

    pcapy.open_offline(str(path)).loop(-1, count)
    return seen


def dpkt_tuples(path: Path) -> int:
    """dpkt: addresses, ports and protocol of each packet."""
    import dpkt

    seen = 0
    with path.open("rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            ip = dpkt.ethernet.Ethernet(data).data
            _ = ip.src, ip.dst, ip.data.sport, ip.data.dport, ip.p
            seen += 1
    return seen


def scapy_tuples(path: Path, most: int = 10_000) -> int:
    """scapy: the same of the first packets."""
    from scapy.layers.inet import IP
    from scapy.utils import PcapReader

    seen = 0
    with PcapReader(str(path)) as packets:
        for packet in packets:
            ip = packet[IP]
            _ = ip.src, ip.dst, ip.sport, ip.dport, ip.proto
            seen += 1
            if seen == most:
                break
    return seen


def nfstream_flows(path: Path) -> int:
    """nfstream: the flow table, without inspection of payloads and without statistics of each flow."""
    from nfstream import NFStreamer

    return sum(
        flow.bidirectional_packets for flow in NFStreamer(str(path), n_dissections=0, statistical_analysis=False)
    )


Rival = Callable[[Path], int]
