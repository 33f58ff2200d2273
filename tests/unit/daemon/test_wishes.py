"""What wakes the main thread, and in which order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfq.daemon.watching import Files
from pfq.daemon.wishes import SETTLE_S, Wish, Wishes

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pfqd.toml"


@pytest.fixture
def wishes(path: Path) -> Iterator[Wishes]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    files = Files()
    files.watch([path])
    made = Wishes(files)
    yield made
    made.close()
    files.close()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "wish"), [(signal.SIGHUP, Wish.RELOAD), (signal.SIGTERM, Wish.END), (signal.SIGINT, Wish.END)]
)
def test_signals(wishes: Wishes, number: int, wish: Wish) -> None:
    os.kill(os.getpid(), number)
    assert wishes.next() is wish


def test_what_ends_more_is_first(wishes: Wishes) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    wishes.stop()
    assert wishes.next() is Wish.STOP


def test_a_client_that_wants_an_end_wakes_it(wishes: Wishes) -> None:
    timer = threading.Timer(0.05, wishes.stop)
    timer.start()
    assert wishes.next() is Wish.STOP
    timer.join()


def test_a_file_that_is_written_in_steps_is_read_once(wishes: Wishes, path: Path) -> None:
    def write() -> None:
        for number in range(4):
            path.write_text("x" * number)
            time.sleep(SETTLE_S / 4)

    writer = threading.Thread(target=write)
    writer.start()
    assert wishes.next() is Wish.RELOAD
    writer.join()
    assert path.read_text() == "xxx"
    timer = threading.Timer(2 * SETTLE_S, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert wishes.next() is Wish.END, "and not once more"
    timer.join()


def test_other_files_wake_nobody(wishes: Wishes, path: Path) -> None:
    path.with_name("other").write_text("x")
    timer = threading.Timer(2 * SETTLE_S, os.kill, (os.getpid(), signal.SIGHUP))
    started = time.monotonic()
    timer.start()
    assert wishes.next() is Wish.RELOAD
    assert time.monotonic() - started > 1.5 * SETTLE_S
    timer.join()
