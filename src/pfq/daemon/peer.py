"""Who is at the other end of a connection: the kernel's word, from the moment of connecting.

A process that changes its user afterwards, or passes the connection on, does not change the answer. Its number alone
says nothing, because another process gets it one day: a descriptor of the process tells when it ends.
"""

from __future__ import annotations

import errno
import os
import pwd
import select
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

_SO_PEERGROUPS: Final = 59
_SO_PEERPIDFD: Final = 77
_SO_PASSRIGHTS: Final = 83
_UCRED: Final = struct.Struct("=iII")
_OPTION_BYTES: Final = 1024
"""Python takes no longer options of sockets."""
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that has connected.

    gids    its groups: the primary one and all others
    pidfd   readable once it has ended; whoever holds the peer closes it
    start   when it was started, in ticks since the machine was; 0: unknown
    """

    pid: int
    uid: int
    gids: frozenset[int]
    pidfd: int
    start: int

    @classmethod
    def of(cls, connected: socket.socket) -> Peer:
        """Raises OSError when the process is gone already."""
        pid, uid, gid = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        pidfd = _pidfd(connected, pid)
        try:
            return cls(pid, uid, frozenset([gid, *_groups(connected, pid, pidfd)]), pidfd, start_of(pid))
        except BaseException:
            os.close(pidfd)
            raise

    def has_ended(self) -> bool:
        return has_ended(self.pidfd)


def _pidfd(connected: socket.socket, pid: int) -> int:
    with suppress(OSError):
        (found,) = struct.unpack("=i", connected.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4))
        os.set_inheritable(found, False)
        return int(found)
    # Before Linux 6.5, or it has ended.
    return os.pidfd_open(pid)


def _groups(connected: socket.socket, pid: int, pidfd: int) -> Sequence[int]:
    try:
        packed = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_BYTES)
        return struct.unpack(f"={len(packed) // 4}I", packed)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
    status = (_PROC / str(pid) / "status").read_text(errors="replace")
    if has_ended(pidfd):  # and that was another process
        raise ProcessLookupError(errno.ESRCH, "the process has ended")
    return [int(number) for line in status.split("\n") if line.startswith("Groups:") for number in line.split()[1:]]


def has_ended(pidfd: int) -> bool:
    """Whether the process of a descriptor has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def start_of(pid: int) -> int:
    """When a process was started, in ticks since the machine was; 0 when that is not to be seen."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
        # The name of the command stands in brackets, and may have blanks and brackets in it.
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def same_process(pid: int, start: int) -> int | None:
    """A descriptor of the process with this number, when it is the one that was started then; None when it is gone."""
    try:
        found = os.pidfd_open(pid)
    except OSError:
        return None
    if start in (0, start_of(pid)) and not has_ended(found):
        return found
    os.close(found)
    return None


def refuse_descriptors(listener: socket.socket) -> None:
    """Has the kernel refuse descriptors from who connects (since Linux 6.16)."""
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """The name of a user, or the number when there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)
