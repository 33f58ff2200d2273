"""Giving up what the daemon needs to start but not to run.

Everything is opened first. Afterwards an attacker who got the better of the daemon could load eBPF programs and
configure networks, but neither run another program, nor write outside its directories, nor become root again.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pfq.daemon.confinement import landlock, seccomp
from pfq.errors import InternalError, NoPrivilegeError, UsageError
from pfq.kernel.devices import PromiscuousRequests
from pfq.kernel.privilege import NEEDED, effective_capabilities, hide_memory, keep_capabilities

DEV_NULL = Path("/dev/null")


@dataclass(frozen=True, slots=True)
class Confined:
    """What was given up; as text, a line for the log.

    user          whom the daemon is now
    capabilities  what it kept
    calls         system calls are filtered
    files         it writes to its directories only
    """

    user: str
    capabilities: tuple[str, ...]
    calls: bool
    files: bool

    def __str__(self) -> str:
        missing = [] if self.calls else ["system calls are not filtered: unknown machine type"]
        missing += [] if self.files else ["files are not protected: this kernel has no Landlock"]
        kept = ", ".join(self.capabilities) or "no capability"
        return "; ".join([f"confined as {self.user} with {kept}", *missing])


def drop(user: str | None = None, writable: Iterable[Path] = ()) -> Confined:
    """Gives up all rights but those for eBPF and networks; to be called before any thread is started.

    user      whom to become; None: stay
    writable  directories to write in, and files; they must be there
    Raises UsageError for an unknown user, NoPrivilegeError when this process cannot become that user.
    """
    account = None if user is None else account_of(user)
    if len(os.listdir("/proc/self/task")) > 1:
        raise InternalError("rights are given up before threads start")
    PromiscuousRequests.prepare()
    keep_capabilities(NEEDED, lambda: None if account is None else become(account))
    hide_memory()
    allowed = [(path, landlock.WRITE) for path in (*writable, DEV_NULL)]
    files = landlock.restrict(landlock.WRITE | landlock.EXECUTE, allowed)
    calls = seccomp.install(seccomp.DAEMON, seccomp.ALWAYS)
    return Confined(_own_name(), tuple(sorted(effective_capabilities())), calls, files)


def account_of(user: str) -> pwd.struct_passwd:
    """A user's entry; raises UsageError when there is none."""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise UsageError(
            f"there is no user `{user}` to run as", hint=f"create it: useradd --system --shell /usr/sbin/nologin {user}"
        ) from None


def become(account: pwd.struct_passwd) -> None:
    """Another user, with the user's groups; raises NoPrivilegeError."""
    if os.getresuid() == (account.pw_uid,) * 3:
        return
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(*[account.pw_gid] * 3)
        os.setresuid(*[account.pw_uid] * 3)
    except PermissionError:
        raise NoPrivilegeError(
            f"cannot become the user `{account.pw_name}`", hint=f"start as root, or as `{account.pw_name}`"
        ) from None


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
