"""Two that do the same job, timed in turns."""

from __future__ import annotations

import contextlib
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import rivals

from pfq.cli import commands

ROUNDS = 5
Job = Callable[[], object]


def seconds(job: Job) -> float:
    """What a job takes, unless it says so itself."""
    start = time.perf_counter()
    said = job()
    return said if isinstance(said, float) else time.perf_counter() - start


def compare(
    what: str,
    packets: int,
    ours: Job,
    theirs: Job,
    rival: str,
    *,
    wanted: float | None = None,
    rival_packets: int | None = None,
    rounds: int = ROUNDS,
) -> None:
    """Prints one line: the rates of both and what one is of the other.

    rival_packets  what the rival does, where all packets would take it too long
    """
    if rivals.missing(rival):
        print(f"  {what}: {rival} is not installed")
        return
    found = [(packets / seconds(ours), (rival_packets or packets) / seconds(theirs)) for _ in range(rounds)]
    ratios = [mine / other for mine, other in found]
    mine, other = (statistics.median(rates) / 1e6 for rates in zip(*found, strict=True))
    ratio = statistics.median(ratios)
    goal = "" if wanted is None else f", wanted {wanted:g}{'' if ratio >= wanted else ': MISSED'}"
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    print(f"  {what:42} {mine:7.2f} Mpps, {rival:9} {other:7.3f}: {ratio:6.3g} times ({spread}){goal}", flush=True)


def command(*words: object) -> Job:
    """`pfq` as a process."""
    line = [sys.executable, "-c", "from pfq.cli import main; main()", *map(str, words)]
    return lambda: subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def inside(*words: object) -> Job:
    """`pfq` in this process."""

    def call() -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                commands.main([*map(str, words)], prog_name="pfq")
            except SystemExit as end:
                status = end.code
        if status:
            raise RuntimeError(said.getvalue())

    return call


def peak_mib(code: str) -> float:
    """The most memory that a process with this code ever had at once."""
    head = "def run(words):\n from pfq.cli import commands\n try: commands.main(words)\n except SystemExit: pass\n"
    tail = "\nprint([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    done = subprocess.run([sys.executable, "-c", head + code + tail], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-2]) / 1024
