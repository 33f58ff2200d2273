"""Packets from processes of their own: of two threads of Python one waits while the other one works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from root.capture.harness import CPU
from root.network import Pair

CPUS = sorted(os.sched_getaffinity(0))[:2]
STARTING_S = 0.2

SENDER = """
import os, signal, socket, time
os.sched_setaffinity(0, {{{cpu}}})
frames = [bytes.fromhex(text) for text in {frames}]
stop = []
signal.signal(signal.SIGTERM, lambda *of: stop.append(True))
rounds = 0
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as plug:
    plug.setsockopt(263, 20, 1)  # past the queueing discipline: a transmit queue for each CPU
    plug.bind(({device!r}, 0))
    print("ready", flush=True)
    while time.monotonic() < {start}:
        pass
    while rounds != {times} and not stop:
        for frame in frames:
            while True:
                try:
                    plug.send(frame)
                    break
                except BlockingIOError:
                    pass
        rounds += 1
print(rounds * len(frames), flush=True)
"""


def send_at_once(pair: Pair, times: int, *works: Sequence[bytes]) -> None:
    """Sends each work so many times from a CPU of its own, all at the same time."""
    start = time.monotonic() + STARTING_S
    with ExitStack() as stack:
        processes = []
        for cpu, work in zip(CPUS, works, strict=True):
            frames = [each.hex() for each in work]
            code = SENDER.format(cpu=cpu, frames=frames, device=pair.dev_a, start=start, times=times)
            processes.append(stack.enter_context(pair.a.python(code)))
        for process, work in zip(processes, works, strict=True):
            assert process.stdout is not None
            assert process.stdout.read() == f"ready\n{times * len(work)}\n"


@contextmanager
def streaming(pair: Pair, *frames: bytes) -> Iterator[Callable[[], int]]:
    """Frames in turn, as fast as it goes, until the block ends; then how many there were."""
    texts = [each.hex() for each in frames] * (64 // len(frames))
    total: list[int] = []
    with pair.a.python(SENDER.format(cpu=CPU, frames=texts, device=pair.dev_a, start=0, times=-1)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield lambda: total[0]
        process.terminate()
        total.append(int(process.stdout.read()))
