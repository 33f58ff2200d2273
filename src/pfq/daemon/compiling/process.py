"""The processes in which strangers' programs are compiled.

    daemon ─► keeper ─► zygote ─► one worker for each job

The keeper is forked before the daemon has threads. It gets everything ready, gives up every right, and forks the
zygote, again whenever that one ends. The zygote forks a worker for each job, which has everything loaded, reads the
job from a socket of its own, answers and ends; what LLVM keeps of a compilation goes with it. Keeper and zygote
never read what a stranger wrote.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pwd import struct_passwd
from typing import Any, Final, NoReturn

from pfq.codegen.device import Device, compile_device
from pfq.codegen.device import Group as GroupSpec
from pfq.codegen.memory import RingShape
from pfq.codegen.spec import Hook
from pfq.daemon.compiling.pickling import Fault, job_of, packed, sets_of
from pfq.daemon.confinement import landlock, seccomp
from pfq.daemon.confinement.privileges import become
from pfq.errors import InternalError, MachineError, PfqError, ProgramError, TooBigError
from pfq.kernel.privilege import die_with_parent, hide_memory, keep_capabilities
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.prims import PRIMS
from pfq.lang.sent import Sent

JOB_SECONDS: Final = 30
MEMORY_BYTES: Final = 1 << 30
"""What a worker may use beyond what it begins with."""
MAX_MESSAGE: Final = 1 << 28
LENGTH: Final = struct.Struct("=Q")
WARM_UP: Final = "ip >-> when (is_tcp .&&. has_port 80) drop >-> steer_flow"
_NICE: Final = 5


def run(requests: socket.socket, account: struct_passwd | None) -> NoReturn:
    """The keeper, in a process that was just forked; ends when the other end of `requests` is closed.

    account  whom to become; None: stay
    """
    parent = os.getppid()
    try:
        _let_go(requests)
        _warm_up()
        _confine(account)
        die_with_parent(parent)
        while True:
            zygote = os.fork()
            if zygote == 0:
                die_with_parent(os.getppid())
                _serve(requests)
            if os.waitstatus_to_exitcode(os.waitpid(zygote, 0)[1]) == 0:
                os._exit(0)
    finally:
        os._exit(1)


def _let_go(requests: socket.socket) -> None:
    """Nothing of the daemon's stays open; signals are for the daemon."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logging.disable()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    mine = requests.fileno()
    os.closerange(3, mine)
    os.closerange(mine + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _warm_up() -> None:
    """All that a job needs is loaded and has run once, so that no file is needed later."""
    for hook in Hook:
        compile_device(Device(hook, (GroupSpec(0, Sent(WARM_UP).program()),), 1, RingShape(16, 128, 64)))
    for other in (Sent('import Services\nmain = filter (addr_in "10.0.0.0/8")'), Sent("", is_json=True)):
        with suppress(ProgramError):
            other.program()
    list(PRIMS)  # those of installed packages too
    with suppress(MachineError):
        BerkeleyFilter.parse("tcp")
    gc.collect()
    gc.freeze()
    gc.disable()  # whoever compiles once and ends needs no collector, which would touch all memory


def _confine(account: struct_passwd | None) -> None:
    """No right, no file but those of Python and PFQ to read, no memory without end."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    os.nice(_NICE)
    keep_capabilities((), lambda: None if account is None else become(account))
    hide_memory()
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    beginning = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (beginning + MEMORY_BYTES,) * 2)
    readable = {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[1], *map(Path, filter(None, sys.path))}
    everything = landlock.READ | landlock.WRITE | landlock.EXECUTE
    landlock.restrict(everything, [(path, landlock.READ) for path in sorted(readable)])
    seccomp.install(seccomp.WORKER, seccomp.WORKERS)


def _serve(requests: socket.socket) -> NoReturn:
    """The zygote: each message brings the socket of a job."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
            if not message:
                os._exit(0)
            for descriptor in descriptors:
                with socket.socket(fileno=descriptor) as job, suppress(OSError):
                    if os.fork() == 0:
                        requests.close()
                        _work(job)
    finally:
        os._exit(1)


def _work(connection: socket.socket) -> NoReturn:
    """A worker: one job, with limits."""
    try:
        die_with_parent(os.getppid())
        signal.alarm(JOB_SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (JOB_SECONDS, JOB_SECONDS))
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        send(connection, _answer(receive(connection)))
        os._exit(0)
    finally:
        os._exit(1)


def _answer(message: bytes) -> bytes:
    try:
        work, job = job_of(message)
        return packed(WORK[work](job), sets_of(job))
    except PfqError as error:
        return packed(Fault.of(error))
    except MemoryError:
        return packed(Fault.of(TooBigError("compiling the program takes more memory than a worker may use")))
    except Exception as error:  # told to whoever asked, as a fault of ours
        return packed(Fault.of(InternalError(f"compiling failed: {type(error).__name__}: {error}")))


WORK: Final[dict[str, Callable[[Any], Any]]] = {
    "compile": compile_device,
    "typed": Sent.program,
    "filter": BerkeleyFilter.parse,
}


def send(connection: socket.socket, message: bytes) -> None:
    """A message with its length in front; raises OSError."""
    connection.sendall(LENGTH.pack(len(message)))
    connection.sendall(message)


def receive(connection: socket.socket, deadline: float | None = None) -> bytes:
    """A message; raises EOFError when the other side ended, OSError, TimeoutError at the deadline."""
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size, deadline))
    if length > MAX_MESSAGE:
        raise EOFError
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes:
    found = bytearray()
    while len(found) < size:
        if deadline is not None:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
        if not (piece := connection.recv(min(size - len(found), 1 << 20))):
            raise EOFError
        found += piece
    return bytes(found)
