"""Network namespaces, veth pairs and senders for the tests that need root.

Everything is named `pfqt<pid>-…`, so that test runs side by side do not meet, and nothing outlives its test.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pfq.kernel import devices

T = TypeVar("T")

PREFIX = f"pfqt{os.getpid()}-"
NETNS_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000
ETHERTYPE = 0x88B5
"""IEEE 802 local experimental: nothing but the tests takes these frames."""

_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def enter(path: Path) -> None:
    """Moves the calling thread into a network namespace; for good, so let the thread end afterwards."""
    with path.open() as file:
        if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


@dataclass(frozen=True)
class Namespace:
    """A network namespace that `ip netns` knows by name."""

    name: str

    @property
    def path(self) -> Path:
        return NETNS_DIR / self.name

    def command(self, *command: str) -> tuple[str, ...]:
        """The command line that runs `command` inside. (`ip netns exec` would hide /sys/fs/bpf.)"""
        return ("nsenter", f"--net={self.path}", *command)

    def run(self, *command: str, check: bool = True) -> str:
        """What the command prints on its standard output."""
        return subprocess.run(self.command(*command), check=check, text=True, capture_output=True).stdout

    @contextmanager
    def python(self, code: str) -> Iterator[subprocess.Popen[str]]:
        """A Python process inside that has our `sys.path`; killed at the end unless it is dead by then.

        Its output is read from `process.stdout`.
        """
        text = f"import sys; sys.path[:0] = {sys.path!r}\n{code}"
        command = self.command(sys.executable, "-c", text)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def call(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """The result of a Python function inside. It runs in a thread, so it shares our objects."""
        with ThreadPoolExecutor(1, initializer=enter, initargs=(self.path,)) as inside:
            return inside.submit(function, *args, **named).result()

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@contextmanager
def namespace(suffix: str = "x") -> Iterator[Namespace]:
    """A fresh namespace with `lo` up and IPv6 off. The test may remove it before the end."""
    made = Namespace(f"{PREFIX}{next(_numbers)}{suffix}")
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        made.run("ip", "link", "set", "lo", "up")
        made.call(Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text, "1")
        yield made
    finally:
        if made.path.exists():
            made.remove()


@dataclass(frozen=True)
class Pair:
    """Namespaces `a` and `b`, joined by the veth devices `dev_a` and `dev_b`, both up and running.

    The numbers differ on purpose: a wrong namespace then shows, and the kernel tells changes of the
    carrier at once (it delays them by up to a second when both ends have the same number).
    """

    a: Namespace
    b: Namespace
    dev_a: str = "pfqt-a"
    dev_b: str = "pfqt-b"
    ifindex_a: int = 11
    ifindex_b: int = 12

    def sender(self) -> Sender:
        """Sends frames out of `dev_a`, so that they arrive at `dev_b`."""
        return Sender(self.a, self.dev_a)


@contextmanager
def veth_pair(queues: int = 1) -> Iterator[Pair]:
    """Two namespaces and a veth pair with `queues` receive and transmit queues at both ends."""
    with namespace("a") as a, namespace("b") as b:
        pair = Pair(a, b)
        many = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
        left = ["ip", "link", "add", pair.dev_a, "index", str(pair.ifindex_a), "netns", a.name, *many, "type", "veth"]
        right = ["peer", "name", pair.dev_b, "index", str(pair.ifindex_b), "netns", b.name, *many]
        subprocess.run([*left, *right], check=True)
        a.run("ip", "link", "set", pair.dev_a, "up")
        b.run("ip", "link", "set", pair.dev_b, "up")
        assert eventually(lambda: is_running(a, pair.dev_a) and is_running(b, pair.dev_b))
        try:
            yield pair
        finally:
            # The name of a namespace goes at once, its devices a little later; the pair should be gone now.
            if a.path.exists():
                a.run("ip", "link", "del", pair.dev_a, check=False)


def is_running(inside: Namespace, device: str) -> bool:
    """Up, and with a carrier."""
    return inside.call(devices.device, device).running


def numbered(number: int, size: int = 60) -> bytes:
    """A broadcast Ethernet frame with `number` in the 4 bytes at offset 14, big endian."""
    head = b"\xff" * 6 + b"\x02pfqt\x00" + ETHERTYPE.to_bytes(2, "big")
    return (head + number.to_bytes(4, "big")).ljust(size, b"\0")


class Sender:
    """A raw socket that sends whole frames from one device and counts what the kernel took."""

    def __init__(self, inside: Namespace, device: str) -> None:
        self.sent = 0
        self._socket = inside.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        inside.call(self._socket.bind, (device, 0))

    def send(self, frames: Iterable[bytes]) -> int:
        """Sends all of them, waiting where the device's queue is full; returns how many."""
        before = self.sent
        for frame in frames:
            while True:
                try:
                    self._socket.send(frame)
                    break
                except BlockingIOError:
                    time.sleep(0.001)
            self.sent += 1
        return self.sent - before

    def bypass_queueing(self) -> None:
        """From now on the transmit queue is the CPU's number, modulo the number of queues."""
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def traffic(pair: Pair, rate_pps: int, limit: int = 1_000_000, size: int = 60) -> Iterator[Sender]:
    """Numbered frames from `a` to `b` until the block ends, at most `limit`; then `sender.sent` is final."""
    stop = threading.Event()

    def pump(sender: Sender) -> None:
        start = time.monotonic()
        while not stop.is_set() and sender.sent < limit:
            due = min(limit, int((time.monotonic() - start) * rate_pps))
            sender.send(numbered(n, size) for n in range(sender.sent, due))
            time.sleep(0.0005)

    with pair.sender() as sender:
        thread = threading.Thread(target=pump, args=(sender,))
        thread.start()
        try:
            yield sender
        finally:
            stop.set()
            thread.join()


def eventually(condition: Callable[[], T], seconds: float = 1.0) -> T:
    """The first true value of `condition()`, or its last value when none came in time."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return value
