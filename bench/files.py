"""How fast capture files are counted, decoded, steered, written and turned into flows, beside other programs.

Every figure is a ratio of rates, measured in turns in the same run: the machine drifts, the ratio does not. Commands
are timed as processes, and in this process, where Python and LLVM are loaded already. All files are on tmpfs.
`bench/files.py 0.5` takes a large file of half a GiB instead of 2 GiB.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import rivals
import traffic
from contest import ROUNDS, Job, command, compare, inside, peak_mib, seconds

import pfq
from pfq.files.pipeline import Keep, Pipeline
from pfq.files.run import task_of

FEW_ROUNDS = 2
"""Of what takes seconds."""
EXPRESSIONS = (
    "udp port 53",
    "tcp port 443",
    "src net 10.0.0.0/20 and (tcp dst port 443 or udp dst port 53) and not host 10.0.0.99",
)
"""They accept an eighth of the packets, seven eighths, and a half."""
PACKETS = 500_000
MIXED_PACKETS = 2_000_000
LIMIT_MIB = 300
"""Memory that a job may take, whatever the size of the file."""
COLUMNS = ("src", "dst", "src_port", "dst_port", "proto")


def counting(large: Path, packets: int) -> None:
    print(f"Counting by filter, {packets:,} frames of 60 bytes")
    for expression in EXPRESSIONS:
        words = ("run", "-r", large, "--count", expression)
        jobs: dict[str, Job] = {
            f"`{expression[:38]}`": partial(count, [large], expression),
            "  with compiling it": inside(*words),
            "  as a process": command(*words),
        }
        for what, ours in jobs.items():
            wanted = 8 if what[0] == "`" else None
            theirs = partial(rivals.tcpdump_filter, large, expression)
            compare(what, packets, ours, theirs, "tcpdump", wanted=wanted)
    theirs = partial(rivals.tcpdump_filter, large, EXPRESSIONS[0])
    compare("read(2) alone, on one core", packets, partial(read_only, large), theirs, "tcpdump")


def read_only(path: Path) -> None:
    """Takes the file's bytes from the kernel and does nothing with them."""
    room = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while file.readinto(room):
            pass


def count(paths: Sequence[Path], expression: str, jobs: int = 1) -> float:
    """The seconds of `pfq run --count` once it has compiled its filter."""
    pipeline = Pipeline(task_of(None, 1, expression, None), paths, jobs, Keep.NONE)
    return seconds(lambda: deque(pipeline.decided(), 0))


def decoding(path: Path) -> None:
    print(f"5-tuples as columns in Python, {PACKETS:,} frames of 60 bytes")

    def ours() -> None:
        for batch in pfq.read(path):
            for name in COLUMNS:
                getattr(batch, name)

    compare("pfq.read", PACKETS, ours, partial(rivals.pcapy_loop, path), "pcapy", wanted=5, rounds=3 * ROUNDS)
    compare("pfq.read", PACKETS, ours, partial(rivals.dpkt_tuples, path), "dpkt", wanted=50, rounds=FEW_ROUNDS)
    some = 10_000
    scapy = partial(rivals.scapy_tuples, path, some)
    compare("pfq.read", PACKETS, ours, scapy, "scapy", rival_packets=some, rounds=FEW_ROUNDS)


def steering(path: Path, packets: int, what: str) -> None:
    print(f"`steer_flow` over 8 end-points, and written: {packets:,} {what}")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        out, copy, many = Path(folder, "out"), Path(folder, "copy.pcap"), Path(folder, "many")
        words = ("run", "-r", path, "-P", "steer_flow", "-E", "8")

        theirs = partial(rivals.tcpdump_copy, path, copy)
        jobs: dict[str, tuple[object, ...]] = {
            "pfq run -w, pcapng": (*words, "-w", out),
            "pfq run -w --pcap": (*words, "--pcap", "-w", out),
            "pfq run --split": (*words, "--split", many),
        }
        for name, line in jobs.items():
            compare(name, packets, inside(*line), theirs, "tcpdump", wanted=1, rounds=3)
            compare(f"{name}, as a process", packets, command(*line), theirs, "tcpdump", rounds=3)
            out.unlink(missing_ok=True)


def flows(path: Path) -> None:
    print(f"Flow table of {PACKETS:,} packets, {traffic.FLOWS:,} flows")

    def ours() -> None:
        deque(pfq.flows(path), 0)

    compare("pfq.flows", PACKETS, ours, partial(rivals.nfstream_flows, path), "nfstream", wanted=10, rounds=FEW_ROUNDS)


def several_files(path: Path) -> None:
    print(f"8 files of {PACKETS:,} packets, counted by `{EXPRESSIONS[0]}`")
    times = [tuple(count([path] * 8, EXPRESSIONS[0], jobs) for jobs in (1, 2)) for _ in range(ROUNDS)]
    print(f"  --jobs 2: {statistics.median(one / two for one, two in times):.2f} times --jobs 1")


def memory(large: Path) -> None:
    print(f"Peak memory of a process, file of {large.stat().st_size / 2**30:.1f} GiB, at most {LIMIT_MIB} MiB")
    jobs = {
        "pfq run --count": f"run(['run', '-r', {str(large)!r}, '--count', {EXPRESSIONS[0]!r}])",
        "pfq run -w": f"run(['run', '-r', {str(large)!r}, '-P', 'steer_flow', '-E', '8', '-w', '/dev/null'])",
        "pfq.read": f"import pfq\nfor b in pfq.read({str(large)!r}): {', '.join(f'b.{name}' for name in COLUMNS)}",
        "pfq.flows": f"import pfq\nfor b in pfq.flows({str(large)!r}): pass",
    }
    for name, code in jobs.items():
        peak = peak_mib(code)
        print(f"  {name:42} {peak:7.0f} MiB{'' if peak < LIMIT_MIB else ': MISSED'}", flush=True)


@contextlib.contextmanager
def files(large_bytes: int) -> Iterator[tuple[Path, Path, Path, int]]:
    """A large file, a small one and one of frames of all sizes; and how many packets the large one has."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="pfq-bench-") as folder:
        large, small, mixed = (Path(folder, f"{name}.pcap") for name in ("large", "small", "mixed"))
        packets = large_bytes // (traffic.SMALL + 16)
        traffic.write(large, packets)
        traffic.write(small, PACKETS)
        traffic.write(mixed, MIXED_PACKETS, traffic.MIX)
        yield large, small, mixed, packets


def main() -> None:
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Linux {os.uname().release}")
    with files(int(float((sys.argv[1:] or ["2"])[0]) * 2**30)) as (large, small, mixed, packets):
        counting(large, packets)
        decoding(small)
        steering(large, packets, "frames of 60 bytes")
        steering(mixed, MIXED_PACKETS, "frames of 60 to 1514 bytes")
        flows(small)
        several_files(small)
        memory(large)


if __name__ == "__main__":
    main()
