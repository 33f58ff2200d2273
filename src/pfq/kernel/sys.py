"""bpf(2), one function per command, and descriptors. Control path only.

Every function raises one of

    NoPrivilegeError     EPERM or EACCES in a process that may not use eBPF at all
    LimitError           memory or descriptors are used up
    KernelRefusedError   anything else; `errno_of(error)` is the errno
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable, Iterator
from ctypes import Structure, addressof, create_string_buffer, sizeof
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from pfq.errors import KernelRefusedError, LimitError, MachineError, NoPrivilegeError, PfqError
from pfq.kernel import abi
from pfq.kernel.abi import AttachType, Command, ProgramType
from pfq.kernel.privilege import HINT, missing_privilege

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}


_libc = ctypes.CDLL(None, use_errno=True)


class Fd:
    """A descriptor that is closed once: by `close()`, at the end of a `with`, or by the collector."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """The number; raises ValueError once closed."""
        if self._number < 0:
            raise ValueError("the descriptor is closed")
        return self._number

    @property
    def closed(self) -> bool:
        return self._number < 0

    def close(self) -> None:
        """Closes it; again is harmless."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # A default, because modules may be empty when the interpreter shuts down.
        if getattr(self, "_number", -1) >= 0:
            close(self._number)

    def __repr__(self) -> str:
        return f"Fd({self._number})"


class Kind(Enum):
    """Kinds of objects the kernel numbers: (what it is called, command for the next id, command for a descriptor)."""

    PROGRAM = ("program", Command.PROG_GET_NEXT_ID, Command.PROG_GET_FD_BY_ID)
    MAP = ("map", Command.MAP_GET_NEXT_ID, Command.MAP_GET_FD_BY_ID)
    LINK = ("link", Command.LINK_GET_NEXT_ID, Command.LINK_GET_FD_BY_ID)


def errno_of(error: PfqError) -> int:
    """The errno behind an error raised by this package; 0 when there is none."""
    cause = error.__cause__
    return (cause.errno or 0) if isinstance(cause, OSError) else 0


def refusal(what: str, number: int, hint: str | None = None, said: str = "") -> PfqError:
    """The error for a system call that failed with errno `number`.

    what  was being tried ("loading ...")
    said  what the kernel added in words
    """
    error = _classify(what, number, hint, said)
    error.__cause__ = OSError(number, os.strerror(number))
    return error


def _classify(what: str, number: int, hint: str | None, said: str) -> PfqError:
    if number in (errno.EPERM, errno.EACCES) and (why := missing_privilege()):
        return NoPrivilegeError(f"{what} needs the right to use eBPF: {why}", hint=HINT)
    reason = f"{what} failed: {os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if said:
        reason += f"; the kernel says: {said}"
    if number in (errno.EMFILE, errno.ENFILE):
        return LimitError(reason, hint=hint or "raise the limit of open files: ulimit -n")
    if number == errno.ENOMEM:
        return LimitError(reason, hint=hint or "free memory, or ask for fewer or smaller rings")
    return KernelRefusedError(reason, hint=hint)


def _bpf(command: Command, attr: Structure) -> int:
    """The raw call: its result, or -errno."""
    number = _SYSCALL_NUMBERS.get(platform.machine())
    if number is None:
        raise MachineError(f"PFQ does not know bpf(2) of the machine type {platform.machine()}")
    result: int = _libc.syscall(number, int(command), ctypes.byref(attr), sizeof(attr))
    return -ctypes.get_errno() if result < 0 else result


def _call(command: Command, attr: Structure, what: str) -> int:
    result = _bpf(command, attr)
    if result < 0:
        raise refusal(what, -result)
    return result


def kernel_name(name: str) -> bytes:
    """`name` as the kernel accepts it for objects: letters, digits, `_` and `.`, at most 15."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)
    return kept.encode()[: abi.NAME_BYTES - 1]


# maps


def map_create(
    type: int, key_bytes: int, value_bytes: int, entries: int, *, flags: int = 0, inner: int = 0, name: str = ""
) -> Fd:
    """Creates a map; `inner` is the descriptor of a map shaped like the inner maps of an array of maps."""
    attr = abi.MapCreateAttr(
        map_type=type,
        key_size=key_bytes,
        value_size=value_bytes,
        max_entries=entries,
        map_flags=flags,
        inner_map_fd=inner,
        map_name=kernel_name(name),
    )
    return Fd(_call(Command.MAP_CREATE, attr, f"creating the map `{name}` ({entries} x {value_bytes} bytes)"))


def map_lookup(fd: int, key: bytes, value_bytes: int) -> bytes:
    """The value of `key`; KernelRefusedError with ENOENT when there is none."""
    k, value = create_string_buffer(key, len(key)), create_string_buffer(value_bytes)
    attr = abi.MapElemAttr(map_fd=fd, key=addressof(k), value=addressof(value))
    _call(Command.MAP_LOOKUP_ELEM, attr, "reading an element of a map")
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Stores `value`, whose length must be what the kernel expects of the map."""
    k, v = create_string_buffer(key, len(key)), create_string_buffer(value, len(value))
    attr = abi.MapElemAttr(map_fd=fd, key=addressof(k), value=addressof(v))
    _call(Command.MAP_UPDATE_ELEM, attr, "writing an element of a map")


def map_delete(fd: int, key: bytes) -> None:
    """Removes `key`; KernelRefusedError with ENOENT when it is not there."""
    k = create_string_buffer(key, len(key))
    _call(Command.MAP_DELETE_ELEM, abi.MapElemAttr(map_fd=fd, key=addressof(k)), "removing an element of a map")


def map_freeze(fd: int) -> None:
    """From now on only programs write the map. EBUSY while a writable mapping of it exists."""
    _call(Command.MAP_FREEZE, abi.FdAttr(fd=fd), "freezing a map")


# programs


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """What the kernel is told about the functions of a program besides the instructions.

    func_info and line_info are arrays of the kernel's records, sorted by instruction.
    """

    btf: bytes
    func_info: bytes
    line_info: bytes
    func_record_bytes: int = 8
    line_record_bytes: int = 16


class LoadResult(NamedTuple):
    """fd is None when the program was refused; then `errno` and the verifier's log say why."""

    fd: Fd | None
    errno: int
    log: str


LOG_LEVEL_PATH, LOG_LEVEL_MESSAGE = 1, 4
"""The failing path with its messages, or the messages alone."""

_LOG_BYTES = (1 << 20, 1 << 24)
_LOAD_TRIES = 5


def prog_load(
    type: ProgramType,
    attach_type: AttachType,
    insns: bytes,
    *,
    name: str,
    flags: int = 0,
    debug: DebugInfo | None = None,
) -> LoadResult:
    """Loads a program: first without a log, which is quick, and again with one when that fails."""
    code, licence = create_string_buffer(insns, len(insns)), create_string_buffer(b"GPL")
    attr = abi.ProgLoadAttr(
        prog_type=type,
        insn_cnt=len(insns) // abi.INSN_BYTES,
        insns=addressof(code),
        license=addressof(licence),
        prog_flags=flags,
        prog_name=kernel_name(name),
        expected_attach_type=attach_type,
    )
    if debug is None:
        return _load(attr)
    funcs = create_string_buffer(debug.func_info, len(debug.func_info))
    lines = create_string_buffer(debug.line_info, len(debug.line_info))
    with btf_load(debug.btf) as btf:
        attr.prog_btf_fd = btf.fileno()
        attr.func_info, attr.func_info_rec_size = addressof(funcs), debug.func_record_bytes
        attr.func_info_cnt = len(debug.func_info) // debug.func_record_bytes
        if debug.line_info:
            attr.line_info, attr.line_info_rec_size = addressof(lines), debug.line_record_bytes
            attr.line_info_cnt = len(debug.line_info) // debug.line_record_bytes
        return _load(attr)


def _load(attr: abi.ProgLoadAttr) -> LoadResult:
    for _ in range(_LOAD_TRIES):  # the verifier gives up with EAGAIN when a signal is pending
        result = _bpf(Command.PROG_LOAD, attr)
        if result != -errno.EAGAIN:
            break
    if result >= 0:
        return LoadResult(Fd(result), 0, "")
    if result == -errno.EPERM:
        return LoadResult(None, errno.EPERM, "")
    return _load_with_log(attr)


def _load_with_log(attr: abi.ProgLoadAttr) -> LoadResult:
    for size in _LOG_BYTES:
        result, log = _logged(attr, LOG_LEVEL_PATH, size)
        # A log that does not fit keeps its end since Linux 6.4, and that is the part that matters.
        if result != -errno.ENOSPC or "\nprocessed " in log:
            return _result(result, log)
    # Before 6.4 only the beginning is left. The messages without the path are short.
    return _result(*_logged(attr, LOG_LEVEL_MESSAGE, _LOG_BYTES[0]))


def _logged(attr: abi.ProgLoadAttr, level: int, size: int) -> tuple[int, str]:
    log = create_string_buffer(size)
    attr.log_level, attr.log_size, attr.log_buf = level, size, addressof(log)
    return _bpf(Command.PROG_LOAD, attr), log.value.decode(errors="replace")


def _result(result: int, log: str) -> LoadResult:
    return LoadResult(Fd(result), 0, log) if result >= 0 else LoadResult(None, -result, log)


def btf_load(btf: bytes) -> Fd:
    """Loads type information."""
    data = create_string_buffer(btf, len(btf))
    attr = abi.BtfLoadAttr(btf=addressof(data), btf_size=len(btf))
    result = _bpf(Command.BTF_LOAD, attr)
    if result >= 0:
        return Fd(result)
    log = create_string_buffer(_LOG_BYTES[0])
    attr.btf_log_buf, attr.btf_log_size, attr.btf_log_level = addressof(log), len(log), 1
    if (second := _bpf(Command.BTF_LOAD, attr)) >= 0:  # what was short the first time is there now
        return Fd(second)
    last = log.value.decode(errors="replace").strip().rpartition("\n")[2]
    raise refusal(f"loading type information ({last or 'no log'})", -result)


class TestRun(NamedTuple):
    """What one test run gave: the program's return value, the frame and context after it, mean ns of a run."""

    retval: int
    data: bytes
    duration_ns: int
    ctx: bytes


_ROOM_TO_GROW = 4096


def prog_test_run(
    fd: int, data: bytes, *, ctx: bytes = b"", repeat: int = 1, flags: int = 0, batch: int = 0, cpu: int = 0
) -> TestRun:
    """Runs a program on `data` (at least 14 bytes). Live frames give back neither frame nor context."""
    live = bool(flags & abi.F_TEST_XDP_LIVE_FRAMES)
    data_in, ctx_in = create_string_buffer(data, len(data)), create_string_buffer(ctx, len(ctx))
    data_out = create_string_buffer(0 if live else len(data) + _ROOM_TO_GROW)
    ctx_out = create_string_buffer(0 if live or not ctx else len(ctx) + _ROOM_TO_GROW)
    attr = abi.TestRunAttr(
        prog_fd=fd,
        data_size_in=len(data),
        data_in=addressof(data_in),
        data_size_out=len(data_out),
        data_out=addressof(data_out) if len(data_out) else 0,
        repeat=repeat,
        ctx_size_in=len(ctx),
        ctx_in=addressof(ctx_in) if ctx else 0,
        ctx_size_out=len(ctx_out),
        ctx_out=addressof(ctx_out) if len(ctx_out) else 0,
        flags=flags,
        cpu=cpu,
        batch_size=batch,
    )
    _call(Command.PROG_TEST_RUN, attr, f"a test run with {len(data)} bytes")
    return TestRun(attr.retval, data_out.raw[: attr.data_size_out], attr.duration, ctx_out.raw[: attr.ctx_size_out])


# links


def link_create(prog: int, ifindex: int, attach_type: AttachType, flags: int, what: str) -> Fd:
    """Attaches a program to a device; `what` says it in words for the error."""
    attr = abi.LinkCreateAttr(prog_fd=prog, target_ifindex=ifindex, attach_type=attach_type, flags=flags)
    return Fd(_call(Command.LINK_CREATE, attr, what))


def link_update(link: int, prog: int, what: str) -> None:
    """Replaces the program of a link atomically."""
    _call(Command.LINK_UPDATE, abi.LinkUpdateAttr(link_fd=link, new_prog_fd=prog), what)


def link_detach(link: int) -> None:
    """Detaches, however many descriptors of the link are open."""
    _call(Command.LINK_DETACH, abi.FdAttr(fd=link), "detaching a program")


# objects of all kinds


I = TypeVar("I", bound=Structure)  # noqa: E741


def info(fd: int, into: type[I]) -> I:
    """What the kernel tells about an object, as an abi.ProgramInfo, MapInfo or LinkInfo."""
    record = into()
    attr = abi.InfoAttr(bpf_fd=fd, info_len=sizeof(record), info=addressof(record))
    _call(Command.OBJ_GET_INFO_BY_FD, attr, "asking for the properties of a BPF object")
    return record


def ids(kind: Kind) -> Iterator[int]:
    """Numbers of all objects of a kind on this machine, ascending; other namespaces' included."""
    word, next_command, _ = kind.value
    attr = abi.IdAttr()
    while (result := _bpf(next_command, attr)) >= 0:
        attr.id = attr.next_id
        yield attr.next_id
    if result != -errno.ENOENT:
        raise refusal(f"listing every BPF {word}", -result)


def fd_by_id(kind: Kind, number: int) -> Fd:
    """A descriptor of an existing object; KernelRefusedError with ENOENT when it is gone."""
    word, _, command = kind.value
    return Fd(_call(command, abi.IdAttr(id=number), f"opening the BPF {word} with id {number}"))


def obj_pin(fd: int, path: str) -> None:
    """Gives an object a name in a BPF file system, so that it outlives this process."""
    name = create_string_buffer(os.fsencode(path))
    _call(Command.OBJ_PIN, abi.ObjectPathAttr(pathname=addressof(name), bpf_fd=fd), f"pinning to {path}")


def obj_get(path: str) -> Fd:
    """Opens a pinned object."""
    name = create_string_buffer(os.fsencode(path))
    return Fd(_call(Command.OBJ_GET, abi.ObjectPathAttr(pathname=addressof(name)), f"opening {path}"))
