"""How fast packets get from the driver to a reader.

Every figure is a share of XDP_DROP, the ceiling, measured in turns with it in the same run: the
machine drifts, the ratio does not. Run as root: `make bench`.
"""

from __future__ import annotations

import atexit
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from feed import CHUNK, ENDPOINTS, READER_CPU, Fed, data_path, drop_program, feed, pinned

from pfq.codegen.finish import Clock
from pfq.files.writing import PcapngWriter, live_interface
from pfq.kernel.maps import possible_cpus
from pfq.kernel.privilege import require_privilege
from pfq.ring.reader import Reader

PROGRAM = "ip >-> steer_flow"
ROUNDS = 5
PACKETS = 4 * CHUNK
SLOTS = 1 << 16
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """One measurement: packets per second fed, packets fed, read and lost."""

    rate: float
    fed: int
    read: int
    lost: int


def in_python(fed: Fed, packets: int) -> Run:
    """The rings read by batches in Python, in a thread of this process."""
    stop = threading.Event()
    total = 0

    def work() -> None:
        nonlocal total
        with pinned(READER_CPU):
            readers = [endpoint.reader for endpoint in fed.endpoints]
            turn = 0
            while True:
                got = sum(take(reader) for reader in readers)
                total += got
                if not got:
                    if stop.is_set():
                        return
                    wait(readers[turn % ENDPOINTS])
                    turn += 1

    def wait(reader: Reader) -> None:
        nonlocal total
        total += take(reader, 0.0002)

    reader = threading.Thread(target=work)
    reader.start()
    seconds = feed(fed.program, packets)
    stop.set()
    reader.join()
    return result(fed, packets, seconds, total)


def take(reader: Reader, timeout: float = 0) -> int:
    """One batch: how many packets; their lengths are added up, as the reader in C does."""
    batch = reader.read(timeout=timeout)
    if batch is None:
        return 0
    batch.len.sum()
    return len(batch)


def in_c(fed: Fed, packets: int) -> Run:
    """The rings read by `reader.c`, in a process of its own."""
    fds = [fd for endpoint in fed.endpoints for fd in endpoint.descriptors]
    command = [c_reader(), str(SLOTS), "128", str(possible_cpus()), str(ENDPOINTS), *map(str, fds)]
    for fd in fds:
        os.set_inheritable(fd, True)
    with subprocess.Popen(
        ["taskset", "-c", str(READER_CPU), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        close_fds=False,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        seconds = feed(fed.program, packets)
        reader.stdin.close()
        read = int(reader.stdout.readline().split()[0])
    return result(fed, packets, seconds, read)


def result(fed: Fed, packets: int, seconds: float, read: int) -> Run:
    lost = sum(endpoint.statistics().lost for endpoint in fed.endpoints)
    return Run(packets / seconds, packets, read, lost)


def c_reader() -> str:
    """The compiled reader, beside the installed library."""
    import pfq

    library = Path(pfq.__file__).parent / "lib"
    target = Path(tempfile.gettempdir()) / f"pfq-bench-reader-{os.getpid()}"
    if not target.exists():
        sources = [f"-I{HERE.parent / 'native/include'}", str(HERE / "reader.c")]
        linking = [str(library / "libpfq.so.1"), f"-Wl,-rpath,{library}"]
        subprocess.run(["cc", "-O3", "-std=gnu11", *sources, "-o", str(target), *linking], check=True)
        atexit.register(target.unlink)
    return str(target)


READERS: dict[str, Callable[[Fed, int], Run]] = {"C": in_c, "Python": in_python}


def once(clock: Clock, reader: str) -> Run:
    with data_path(PROGRAM, clock, SLOTS) as fed:
        return READERS[reader](fed, PACKETS)


def shares() -> None:
    """Every combination, each time right behind a run of the ceiling."""
    drop = drop_program()
    runs: dict[tuple[Clock, str], list[tuple[float, Run]]] = {}
    for _ in range(ROUNDS):
        for clock in Clock:
            for reader in READERS:
                ceiling = PACKETS / feed(drop, PACKETS)
                runs.setdefault((clock, reader), []).append((ceiling, once(clock, reader)))
    ceilings = [ceiling for found in runs.values() for ceiling, _ in found]
    print(f"XDP_DROP, the ceiling: {statistics.median(ceilings) / 1e6:.1f} Mpps ({spread(ceilings)})")
    print(f"`{PROGRAM}`, {ENDPOINTS} end-points, 60-byte frames, {PACKETS:,} packets a run, rings of {SLOTS:,}")
    for (clock, reader), found in runs.items():
        show(clock, reader, found)
    for clock in Clock:
        python, c = (statistics.median(run.rate for _, run in runs[clock, reader]) for reader in ("Python", "C"))
        print(f"  clock {clock.value:6} Python / C: {python / c:.2f}")


def show(clock: Clock, reader: str, found: list[tuple[float, Run]]) -> None:
    """One line for a combination, after its packets are accounted for."""
    fed, read, lost = (sum(getattr(run, name) for _, run in found) for name in ("fed", "read", "lost"))
    assert fed == read + lost, f"{fed} fed, {read} read, {lost} lost"
    rates = [run.rate for _, run in found]
    share = statistics.median(run.rate / ceiling for ceiling, run in found)
    print(
        f"  clock {clock.value:6} read in {reader:6}: {statistics.median(rates) / 1e6:5.1f} Mpps"
        f" = {share:.2f} of the ceiling, lost {lost} of {fed} ({spread(rates)})"
    )


def spread(rates: list[float]) -> str:
    return f"{min(rates) / 1e6:.1f} to {max(rates) / 1e6:.1f}"


def writing() -> None:
    """`-w`: from the rings to a pcapng file on tmpfs, reader and writer in one thread."""
    rates, lost = [], 0
    for _ in range(ROUNDS):
        with (
            tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".pcapng") as file,
            data_path(PROGRAM, Clock.NS, SLOTS) as fed,
        ):
            done = threading.Event()
            written = 0

            def work(fed: Fed = fed, name: str = file.name, done: threading.Event = done) -> None:
                nonlocal written
                with pinned(READER_CPU), PcapngWriter(name, [live_interface("bench", 96)]) as writer:
                    while True:
                        got = 0
                        for endpoint in fed.endpoints:
                            batch = endpoint.reader.read(timeout=0)
                            if batch is not None:
                                writer.write(batch)
                                got += len(batch)
                        written += got
                        if not got:
                            if done.is_set():
                                return
                            time.sleep(0.0002)

            thread = threading.Thread(target=work)
            thread.start()
            seconds = feed(fed.program, 2 * CHUNK)
            done.set()
            thread.join()
            rates.append(written / seconds)
            lost += sum(endpoint.statistics().lost for endpoint in fed.endpoints)
    print(f"written to pcapng on tmpfs: {statistics.median(rates) / 1e6:.1f} Mpps ({spread(rates)}), lost {lost}")


def starting() -> None:
    """Time to import, and to compile a program once everything is imported."""
    empty, importing = (run_python(code) for code in ("pass", "import pfq"))
    print(f"import pfq: {1000 * (importing - empty):.0f} ms more than an empty interpreter")
    from pfq.codegen.device import Device, Group, compile_device
    from pfq.codegen.memory import RingShape
    from pfq.codegen.spec import Hook
    from pfq.lang.compile import compile_text
    from pfq.lang.prims import PRIMS

    assert "steer_flow" in PRIMS, "the table is imported too, which compile_text would do late"
    times = []
    for _ in range(9):
        start = time.perf_counter()
        group = Group(0, compile_text(PROGRAM, "<bench>"))
        compile_device(Device(Hook.XDP, (group,), possible_cpus(), RingShape(4096, 2048, 2016)))
        times.append(time.perf_counter() - start)
    print(f"compiling `{PROGRAM}`: first {1000 * times[0]:.0f} ms, median {1000 * statistics.median(times):.0f} ms")


def run_python(code: str) -> float:
    """Seconds of an interpreter's whole life, the best of several."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    require_privilege()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Linux {os.uname().release}")
    starting()
    shares()
    writing()


if __name__ == "__main__":
    main()
