from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from support.capturefiles import pcap_header, pcap_record

from pfq.files import CaptureFile, chunks
from pfq.files.source import Source

DATA = pcap_header() + pcap_record(os.urandom(1000)) * 20_000
"""So much that it is read ahead."""
FORMS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "compressed": lambda data: gzip.compress(data, 1)}


def threads() -> int:
    """Of this process, those of libpfq included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(FORMS[request.param](DATA))
    return path


def test_chunks_are_the_file(path: Path) -> None:
    source = Source(path)
    found = [chunk.array[chunk.start : chunk.end].tobytes() for chunk in chunks.chunks(source)]
    source.close()
    assert b"".join(found) == DATA
    assert {len(part) for part in found[:-1]} == {chunks.CHUNK_BYTES}


def until(met: Callable[[], bool]) -> bool:
    """A thread that has been joined is listed for a moment more."""
    deadline = time.monotonic() + 10
    while not met() and time.monotonic() < deadline:
        time.sleep(0.001)
    return met()


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_nothing_is_left_when_reading_ends(path: Path, count: int) -> None:
    before = threads(), descriptors()
    with CaptureFile(path) as file:
        for _, _ in zip(range(count), file.runs(), strict=False):
            assert threads() <= before[0] + 1
    assert until(lambda: (threads(), descriptors()) == before)


def test_no_thread_is_left_of_a_file_that_was_dropped(path: Path) -> None:
    before = threads()
    runs = CaptureFile(path).runs()
    next(runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # which says, rightly, that nobody closed it
        del runs
    assert until(lambda: threads() == before)


def test_an_interrupt_ends_reading(tmp_path: Path) -> None:
    """Ctrl-C while it waits for a pipe, which nobody writes to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    code = "import sys; from pfq.files import CaptureFile; print('here', flush=True); CaptureFile(sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"here\n"
    with path.open("wb"):
        time.sleep(0.05)
        child.send_signal(2)
        _, errors = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors


def test_memory_is_used_again(path: Path) -> None:
    with CaptureFile(path) as file:
        addresses = [int(run.array["data"][0]) >> 16 for run in file.runs()]
    assert len(set(addresses)) < len(addresses)
