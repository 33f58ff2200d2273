"""What confined processes may call, and what not; each in a child, for nothing takes a filter back."""

from __future__ import annotations

import errno
import os
import platform
import resource
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.confined import in_child

from pfq.daemon.confinement import seccomp
from pfq.daemon.confinement.seccomp import ALWAYS, DAEMON, MACHINES, WORKER, WORKERS, instructions, numbers
from pfq.kernel.privilege import keep_capabilities

pytestmark = pytest.mark.skipif(platform.machine() not in MACHINES, reason="no numbers for this machine type")
ENTER_NAMESPACE = 0x10000000
TABLES = {"daemon": (DAEMON, ALWAYS), "worker": (WORKER, WORKERS)}
REFUSED: dict[str, Callable[[], object]] = {
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "ptrace": lambda: failing_call("ptrace", 0, 0, 0, 0),
    "unshare": lambda: failing_call("unshare", ENTER_NAMESPACE),
    "mount": lambda: failing_call("mount", 0, 0, 0, 0, 0),
    "kexec": lambda: failing_call("init_module", 0, 0, 0),
    "chroot": lambda: os.chroot("/"),
    "limits of others": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU),
}
OF_WORKERS: dict[str, Callable[[], object]] = {
    "socket": socket.socket,
    "kill": lambda: os.kill(os.getppid(), 0),
    "write": lambda: os.open("/dev/null", os.O_WRONLY),
    "create": lambda: os.open("/tmp/pfqt-never", os.O_RDONLY | os.O_CREAT),
    "remove": lambda: os.unlink("/tmp/pfqt-never"),
    "move": lambda: os.rename("/tmp/pfqt-never", "/tmp/pfqt-never2"),
}


def failing_call(name: str, *arguments: int) -> None:
    """Raises what the C library's function of that name sets."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name, None) is None:
        raise PermissionError(errno.EPERM, "not in the C library")
    if getattr(libc, name)(*map(ctypes.c_ulong, arguments)) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def confine(kind: str) -> None:
    keep_capabilities(())
    assert seccomp.install(*TABLES[kind])


@pytest.mark.parametrize("kind", TABLES)
def test_dangerous_calls_are_refused(kind: str) -> None:
    def work() -> list[str]:
        confine(kind)
        wanted = REFUSED | (OF_WORKERS if kind == "worker" else {})
        return [name for name, call in wanted.items() if not refused(call)]

    assert in_child(work) == []


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError as error:
        return error.errno == errno.EPERM
    return False


@pytest.mark.parametrize("kind", TABLES)
def test_what_is_needed_works(kind: str, tmp_path: Path) -> None:
    def work() -> str:
        confine(kind)
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        if kind == "daemon":
            (tmp_path / "file").write_text("x")
            socket.socketpair()[0].close()
        return Path("/proc/self/status").read_text()

    assert "Seccomp:\t2" in in_child(work)


def test_no_other_way_into_a_namespace() -> None:
    """`clone3` says that it is not there, so that the C library takes `clone`, whose flags can be seen."""

    def work() -> tuple[int, int]:
        import ctypes

        confine("daemon")
        libc = ctypes.CDLL(None, use_errno=True)
        machine = MACHINES[platform.machine()]
        clone = numbers(DAEMON, machine.column)["clone"]
        libc.syscall(machine.clone3, 0, 0)
        third = ctypes.get_errno()
        libc.syscall(clone, ENTER_NAMESPACE, 0, 0, 0, 0)
        return third, ctypes.get_errno()

    assert in_child(work) == (errno.ENOSYS, errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_sound(kind: str, machine: str) -> None:
    found = numbers(TABLES[kind][0], MACHINES[machine].column)
    assert len(set(found.values())) == len(found)
    assert not found.keys() & {"execve", "execveat", "ptrace", "mount", "setns", "unshare", "io_uring_setup", "clone3"}
    filter = instructions(MACHINES[machine], *TABLES[kind])
    assert len(filter) < 4096
    for at, (_, jt, jf, _) in enumerate(filter[:-1]):
        assert at + 1 + max(jt, jf) < len(filter)
