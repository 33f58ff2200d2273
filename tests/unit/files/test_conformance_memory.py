"""What a file claims does not decide how much memory is taken."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.capturefiles import STATISTICS, Blocks, pcap_header, pcap_record

MOST_MIB = 64
B = Blocks()
START = B.section() + B.interface()
MANY = 65_536

FILES: dict[str, Callable[[], bytes]] = {
    "packet of 256 MiB": lambda: pcap_header() + pcap_record(b"x", caplen=256 << 20),
    "packet of 16 MiB that is not there": lambda: pcap_header() + pcap_record(b"x", caplen=16 << 20),
    "block of 4 GiB": lambda: START + B.pack("II", 6, 0xFFFFFFFC) + bytes(1000),
    "block of 16 MiB that is not there": lambda: START + B.pack("II", 6, 16 << 20) + bytes(1000),
    "interface number of 32 bits": lambda: START + B.packet(b"x", number=0xFFFFFFFF),
    "statistics of 32-bit interfaces": lambda: (
        START + b"".join(B.block(STATISTICS, B.pack("III", 0xFFFFFFFF - i, 0, 0)) for i in range(1000))
    ),
    "65,537 interfaces": lambda: B.section() + B.interface() * (MANY + 1),
    "names of 20 MB": lambda: (
        B.section() + B.interface(options=[(2, b"e" * 300)]) * MANY + B.packet(b"x", number=MANY - 1)
    ),
    "many sections": lambda: (B.section(options=[(1, b"c" * 400)]) + B.interface() + B.packet(b"x")) * 20_000,
    "gzip that unpacks to 64 MiB": lambda: gzip.compress(pcap_header() + bytes(64 << 20), 1),
}
PACKETS = {"names of 20 MB": 1, "many sections": 20_000, "gzip that unpacks to 64 MiB": (64 << 20) // 16}
"""Of the files that have some."""

PROGRAM = """
import json, sys
from pfq.errors import PfqError
from pfq.files.capfile import CaptureFile

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024

def read(path):
    count = 0
    try:
        with CaptureFile(path) as file:
            for records in file.runs():
                count += len(records)
            interfaces = file.interfaces
    except PfqError:
        pass
    return count

read(sys.argv[1])  # what all reading takes
before = peak()
print(json.dumps({"packets": read(sys.argv[2]), "mib": peak() - before}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_M6_M7_memory(name: str, tmp_path: Path) -> None:
    plain, nasty = tmp_path / "plain", tmp_path / "nasty"
    plain.write_bytes(START + B.packet(b"x"))
    nasty.write_bytes(FILES[name]())
    command = [sys.executable, "-c", PROGRAM, str(plain), str(nasty)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert told["packets"] == PACKETS.get(name, 0)
    assert told["mib"] < MOST_MIB
