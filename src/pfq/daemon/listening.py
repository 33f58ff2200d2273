"""The socket where clients connect, and the lock that lets one pfqd run."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pfq.errors import FileAccessError, UsageError

BACKLOG: Final = 128
LOCK: Final = "pfqd.lock"
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class Running:
    """The right to run on a state directory; who has taken it keeps it until it ends, however it ends."""

    def __init__(self, state: Path) -> None:
        self.path = state / LOCK
        private_folder(state)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise FileAccessError(f"cannot write {self.path}: {error.strerror}") from None

    def take(self) -> bool:
        """Takes the right; False when another pfqd has it."""
        try:
            # A lock of the process, not of the open file: helpers that it forks do not keep it when it is killed.
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        return True

    def refusal(self) -> UsageError:
        """Names the process that has it."""
        pid = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
        return UsageError(
            f"another pfqd runs on {self.path.parent}: process {pid or 'unknown'}",
            hint="`pfqd --stop` with its configuration ends it; SIGHUP makes it read its configuration again",
        )

    def close(self) -> None:
        """Gives the right back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Listener:
    """A socket at a path. Nobody who should not can connect for even a moment, and a dead daemon's is replaced."""

    def __init__(self, path: Path, user: int, group: int | None) -> None:
        """
        user   to whom it belongs
        group  whose users may connect too; None: only `user` and root
        """
        self.path = path
        private_folder(path.parent, group)
        _refuse_others(path)
        hidden = path.with_name(f".{os.getpid()}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        before = os.umask(0o177 if group is None else 0o117)
        try:
            hidden.unlink(missing_ok=True)
            self.socket.bind(str(hidden))
            # The folder may belong to a user whom we must not trust with what a link could stand for.
            os.chown(hidden, user, -1 if group is None else group, follow_symlinks=False)
            self.socket.listen(BACKLOG)
            hidden.rename(path)
        except OSError as error:
            self.socket.close()
            hidden.unlink(missing_ok=True)
            raise FileAccessError(f"cannot listen at {path}: {error.strerror}") from None
        finally:
            os.umask(before)
        self._inode = path.lstat().st_ino

    def close(self) -> None:
        """Takes the socket away, unless another process has put its own there."""
        self.socket.close()
        with suppress(OSError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()


def private_folder(path: Path, group: int | None = None) -> None:
    """A folder in which only root and we can write: made when it is missing, for the users of a group to enter.

    Raises UsageError when others can put something in the place of what is in it.
    """
    before = os.umask(0o027)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileAccessError(f"cannot make the directory {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    found = path.stat()
    if found.st_mode & _WRITABLE_BY_OTHERS or (found.st_uid not in (0, os.geteuid()) and os.geteuid() != 0):
        raise UsageError(
            f"other users can write in {path}",
            hint=f"take one that only root can write in, or `chmod go-w {path}`",
        )
    if group is not None and not found.st_mode & stat.S_IXOTH and found.st_gid in (0, os.getegid()):
        os.chown(path, -1, group)


def _refuse_others(path: Path) -> None:
    """Raises UsageError when something is in the place that no dead pfqd can have left."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{path} is there and is no socket", hint="move it away, or take another path for `socket`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(path))
        raise UsageError(
            f"another process answers at {path}",
            hint="`pfqd --stop` ends another pfqd; or take another path for `socket`",
        )
