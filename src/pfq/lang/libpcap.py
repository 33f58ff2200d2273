"""The system's libpcap, which compiles filter expressions; loaded when the first one is met."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache
from threading import Lock
from typing import Final

from pfq.errors import LiteralError, MachineError
from pfq.lang.literals import printable

ETHERNET, SNAPLEN = 1, 262_144
NO_NETMASK = 0
"""As `tcpdump -r` has it: `ip broadcast` then means the addresses of all zeros and all ones."""
LONGEST_MESSAGE: Final = 200


class _Instruction(ctypes.Structure):
    """struct bpf_insn"""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """struct bpf_program"""

    _fields_ = (("count", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


_LOCK: Final = Lock()
"""libpcap before 1.8 keeps the state of its compiler in global variables."""


def compiled(expression: str) -> list[tuple[int, int, int, int]]:
    """The bytecode of an expression of pcap-filter(7) for Ethernet frames: code, jt, jf, k of each instruction.

    Raises LiteralError, without a place, and MachineError when libpcap is missing.
    """
    library, program = _library(), _Program()
    try:
        encoded = expression.encode()
    except UnicodeEncodeError:
        raise LiteralError("a filter with half of a surrogate pair is no text") from None
    with _LOCK:
        handle = library.pcap_open_dead(ETHERNET, SNAPLEN)
        try:
            if library.pcap_compile(handle, program, encoded, 1, NO_NETMASK):
                message = library.pcap_geterr(handle).decode(errors="replace")
                raise LiteralError(
                    f"libpcap refuses the filter: {printable(message, LONGEST_MESSAGE)}",
                    hint='filters are written as for tcpdump: "tcp port 80 and not host 10.0.0.1"',
                )
            found = [(each.code, each.jt, each.jf, each.k) for each in program.instructions[: program.count]]
            library.pcap_freecode(program)
            return found
        finally:
            library.pcap_close(handle)


@cache
def _library() -> ctypes.CDLL:
    name = find_library("pcap")
    if name is None:
        raise MachineError(
            "libpcap is missing, which compiles filter expressions",
            hint="install it, on Debian: sudo apt-get install libpcap0.8",
        )
    library, program = ctypes.CDLL(name), ctypes.POINTER(_Program)
    library.pcap_open_dead.argtypes = ctypes.c_int, ctypes.c_int
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = ctypes.c_void_p, program, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32
    library.pcap_geterr.argtypes = (ctypes.c_void_p,)
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = (program,)
    library.pcap_close.argtypes = (ctypes.c_void_p,)
    return library
