"""The sending side of the demonstration: a process of its own, in a namespace of its own."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pfq.cli.demo.namespaces import FAR, enter_new_namespace, ip, quiet

BURST = 64
PR_SET_PDEATHSIG = 1
REPORT = struct.Struct("<QQ")
READY, GO, STOP = b"r", b"g", b"s"
BUSY_RETRY_S = 0.0005


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender did: whole replays of the capture, and packets."""

    replays: int
    packets: int


class Sender:
    """Starts the process; it ends with this one."""

    def __init__(self, frames: Sequence[bytes], packets_per_second: int) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            mine.close()
            _run_child(its, parent, frames, packets_per_second)
        its.close()
        self._control = mine
        self._await(READY)

    def _await(self, wanted: bytes) -> None:
        if self._control.recv(1) != wanted:
            raise RuntimeError("the sending process ended early")

    def start(self) -> None:
        """Begins to send, once the veth pair is there."""
        self._control.sendall(GO)

    def finish(self) -> Sent:
        """Stops at the end of the replay in progress and tells what was sent."""
        self._control.sendall(STOP)
        report = self._control.recv(REPORT.size, socket.MSG_WAITALL)
        return Sent(*REPORT.unpack(report))

    def close(self) -> None:
        """Ends the process."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._control.close()


def _run_child(control: socket.socket, parent: int, frames: Sequence[bytes], rate: int) -> None:
    """The child's whole life; never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        enter_new_namespace()
        quiet()
        control.sendall(READY)
        control.recv(1)
        ip("link", "set", FAR, "up")
        control.sendall(REPORT.pack(*_replay(control, frames, rate)))
        control.recv(1)
    finally:
        os._exit(0)


def _replay(control: socket.socket, frames: Sequence[bytes], rate: int) -> tuple[int, int]:
    """Replays the frames until told to stop; (whole replays, packets)."""
    control.setblocking(False)
    start, sent, replays = time.monotonic(), 0, 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
        device.bind((FAR, 0))
        while not _told_to_stop(control):
            for frame in frames:
                _send(device, frame)
                sent += 1
                if sent % BURST == 0:
                    time.sleep(max(0.0, start + sent / rate - time.monotonic()))
            replays += 1
    control.setblocking(True)
    return replays, sent


def _send(device: socket.socket, frame: bytes) -> None:
    while True:
        try:
            device.send(frame)
        except OSError as error:
            # The device's queue is full for a moment; nothing was sent.
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise
            time.sleep(BUSY_RETRY_S)
        else:
            return


def _told_to_stop(control: socket.socket) -> bool:
    try:
        return control.recv(1) in (STOP, b"")
    except BlockingIOError:
        return False
