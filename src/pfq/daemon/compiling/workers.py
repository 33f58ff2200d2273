"""Compiles what clients wrote in processes without any right, for the engine."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from pwd import struct_passwd
from typing import Any, Final

from pfq.codegen.device import Device as DeviceSpec
from pfq.codegen.device import DeviceCode
from pfq.daemon.compiling import process as worker_process
from pfq.daemon.compiling.pickling import Fault, packed, result_of, sets_of
from pfq.daemon.compiling.process import JOB_SECONDS, receive, send
from pfq.daemon.compiling.turns import Turns
from pfq.daemon.confinement.privileges import account_of
from pfq.engine.compiler import FilterLike
from pfq.errors import LimitError
from pfq.lang import to_program
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.program import Program
from pfq.lang.sent import Sent

NOBODY: Final = "nobody"
KEPT_RESULTS: Final = 64
KEPT_BYTES: Final = 64 << 20
_GRACE_S: Final = 2.0

_asking: Final[ContextVar[Hashable]] = ContextVar("_asking", default=None)


@contextmanager
def on_behalf_of(who: Hashable) -> Iterator[None]:
    """Inside, compiling is for this user, and takes turns with what is for others."""
    token = _asking.set(who)
    try:
        yield
    finally:
        _asking.reset(token)


class WorkerCompiler:
    """A compiler for an engine, see `pfq.engine.compiler.Compiler`; to be made before there are threads.

    user  whom the workers become; None: nobody, when this process may choose

    Texts are a client's: they name no files. A worker that dies or takes too long is a LimitError for whoever asked.
    """

    def __init__(self, user: str | None = None) -> None:
        self._turns = Turns(max(2, len(os.sched_getaffinity(0))))
        self._kept = _Kept()
        self._lock = threading.Lock()
        self._jobs, self._failed, self._seconds = 0, 0, 0.0
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        account = _account(user)
        self.keeper = os.fork()
        if self.keeper == 0:
            worker_process.run(theirs, account)
        theirs.close()
        self._requests = mine

    def compile(self, spec: DeviceSpec) -> DeviceCode:
        """See `Compiler.compile`."""
        code: DeviceCode = self._result("compile", spec, DeviceCode)
        return code

    def typed(self, program: Any) -> Program:
        """See `Compiler.typed`."""
        match program:
            case str():
                program = Sent(program)
            case None:
                program = Sent("unit")
        typed: Program = self._result("typed", program, Program) if isinstance(program, Sent) else to_program(program)
        return typed

    def filter(self, filter: FilterLike | None) -> BerkeleyFilter | None:
        """See `Compiler.filter`."""
        if isinstance(filter, str):
            found: BerkeleyFilter = self._result("filter", filter, BerkeleyFilter)
            return found
        return None if filter is None else BerkeleyFilter.of(filter)

    def _result(self, work: str, job: Any, kind: type) -> Any:
        if (known := self._kept.get((work, job))) is not None:
            return known
        with self._turns.turn(_asking.get()):
            answer = self._counted(packed((work, job)))
        result = result_of(answer, kind, sets_of(job))
        if isinstance(result, Fault):
            raise result.error()
        self._kept.put((work, job), result, len(answer))
        return result

    def work(self) -> tuple[int, int, float]:
        """Jobs that workers had, those that ended without a result, and seconds that all took together."""
        with self._lock:
            return self._jobs, self._failed, self._seconds

    def _counted(self, job: bytes) -> bytes:
        started = time.monotonic()
        failed = 1
        try:
            answer = self._answer(job)
            failed = 0
            return answer
        finally:
            with self._lock:
                self._jobs, self._failed = self._jobs + 1, self._failed + failed
                self._seconds += time.monotonic() - started

    def _answer(self, job: bytes) -> bytes:
        """Has a worker of its own do a job."""
        mine, theirs = socket.socketpair()
        with closing(mine):
            mine.settimeout(JOB_SECONDS + _GRACE_S)
            deadline = time.monotonic() + JOB_SECONDS + _GRACE_S
            try:
                with closing(theirs):
                    socket.send_fds(self._requests, [b"j"], [theirs.fileno()])
            except OSError:
                raise LimitError("the compile workers are gone", hint="restart pfqd; what runs goes on") from None
            try:
                send(mine, job)
                return receive(mine, deadline)
            except TimeoutError:
                raise _failed(f"took more than {JOB_SECONDS} seconds") from None
            except (EOFError, OSError):
                raise _failed("ended without a result: its worker was killed, or needed too much memory") from None

    def close(self) -> None:
        """No more is compiled; again is harmless."""
        if self._requests.fileno() >= 0:
            with suppress(OSError):
                self._requests.shutdown(socket.SHUT_RDWR)
            self._requests.close()
            os.waitpid(self.keeper, 0)


class _Kept:
    """The newest results, which equal jobs share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, job: Hashable) -> Any:
        with self._lock:
            if job not in self._found:
                return None
            self._found.move_to_end(job)
            return self._found[job][0]

    def put(self, job: Hashable, result: Any, size: int) -> None:
        with self._lock:
            self._bytes += size - self._found.pop(job, (None, 0))[1]
            self._found[job] = result, size
            while len(self._found) > KEPT_RESULTS or self._bytes > KEPT_BYTES:
                self._bytes -= self._found.popitem(last=False)[1][1]


def _failed(how: str) -> LimitError:
    return LimitError(f"compiling {how}", hint="make the program or filter smaller, and try again")


def _account(user: str | None) -> struct_passwd | None:
    """Whom workers become."""
    if user is not None:
        return account_of(user)
    return account_of(NOBODY) if os.geteuid() == 0 else None
