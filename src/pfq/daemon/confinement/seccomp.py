"""Which system calls this process may still make: a seccomp filter, which nothing can take back.

What is not allowed fails with EPERM. `clone3` fails with ENOSYS: its arguments lie in memory that filters cannot
see, and the C library then takes `clone`, whose flags they see.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pfq.daemon.confinement import syscalls as calls
from pfq.kernel.sys import refusal


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type: what the kernel calls it in a filter, which column of the tables is its own, and two numbers."""

    audit: int
    column: int
    seccomp: int
    clone3: int = 435


MACHINES: Final = {
    "x86_64": Machine(0xC000003E, 0, 317),
    "aarch64": Machine(0xC00000B7, 1, 277),
    "riscv64": Machine(0xC00000F3, 1, 277),
}

DAEMON: Final = (
    calls.DESCRIPTORS,
    calls.READING,
    calls.WRITING,
    calls.MEMORY,
    calls.SELF,
    calls.SIGNALS,
    calls.TIME,
    calls.THREADS,
    calls.MESSAGES,
    calls.SOCKETS,
    calls.EVENTS,
    calls.KERNEL,
)
WORKER: Final = (
    calls.DESCRIPTORS,
    calls.READING,
    calls.MEMORY,
    calls.SELF,
    calls.SIGNALS,
    calls.TIME,
    calls.THREADS,
    calls.MESSAGES,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A call is allowed only when these bits of an argument have this value."""

    argument: int
    bits: int
    value: int = 0


NEW_NAMESPACES: Final = 0x7E020080
_TO_WRITE: Final = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALWAYS: Final = {"clone": Rule(0, NEW_NAMESPACES), "prlimit64": Rule(0, 0xFFFFFFFF)}
"""No namespaces, and limits of oneself only."""
_PARENT_DEATH_SIGNAL: Final = 1
WORKERS: Final = {
    **ALWAYS,
    "open": Rule(1, _TO_WRITE),
    "openat": Rule(2, _TO_WRITE),
    "prctl": Rule(0, 0xFFFFFFFF, _PARENT_DEATH_SIGNAL),
}
"""Files are only read."""

_LOAD, _EQUAL, _AND, _AT_LEAST, _RETURN = 0x20, 0x15, 0x54, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32: Final = 0x40000000
_SET_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def numbers(tables: Iterable[str], column: int) -> dict[str, int]:
    """The calls of some tables, with their numbers on one machine."""
    rows = [entry.split() for table in tables for entry in table.split(",")]
    return {name: int(each[column]) for name, *each in rows if each[column] != "-"}


def instructions(machine: Machine, tables: Iterable[str], rules: Mapping[str, Rule]) -> list[tuple[int, int, int, int]]:
    """The filter in classic BPF: code, jt, jf, k of each instruction."""
    refuse = (_RETURN, 0, 0, _FAIL | errno.EPERM)
    found = [(_LOAD, 0, 0, _MACHINE_AT), (_EQUAL, 1, 0, machine.audit), (_RETURN, 0, 0, _KILL)]
    found += [(_LOAD, 0, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, _X32), refuse]
    found += [(_EQUAL, 0, 1, machine.clone3), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    for name, number in numbers(tables, machine.column).items():
        if (rule := rules.get(name)) is None:
            found += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
            continue
        found += [(_EQUAL, 0, 5, number), (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * rule.argument), (_AND, 0, 0, rule.bits)]
        found += [(_EQUAL, 0, 1, rule.value), (_RETURN, 0, 0, _ALLOW), refuse]
    return [*found, refuse]


def install(tables: Iterable[str], rules: Mapping[str, Rule]) -> bool:
    """Confines all threads of this process; False on machines whose numbers are not known here.

    Wants `no_new_privs`. Raises KernelRefusedError.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    filter = instructions(machine, tables, rules)
    program = _Program(len(filter), b"".join(struct.pack("=HBBI", *each) for each in filter))
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(machine.seccomp, _SET_FILTER, _ALL_THREADS, ctypes.byref(program))
    if result:
        # A number above 0 is that of a thread which has a filter of its own.
        raise refusal("filtering system calls", ctypes.get_errno() if result < 0 else errno.EBUSY)
    return True
