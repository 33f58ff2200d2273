"""The XDP program of a device while another one moves from XDP to TC, see `pfq.engine.side.Side.hand_over`.

It decides nothing. It marks each packet, in the metadata that travels with it to TC: the program there may decide
about the packet, for none at XDP has.
"""

from __future__ import annotations

import struct
from typing import Final

from pfq.codegen.layouts import MOVED_BYTES, MOVED_MARK
from pfq.codegen.spec import Hook
from pfq.kernel import abi, sys
from pfq.kernel.abi import AttachType, ProgramType
from pfq.kernel.programs import Program

NAME: Final = "pfq_move"
XDP_ADJUST_META, XDP_PASS = 54, 2
_DATA, _DATA_META = 0, 8  # in struct xdp_md


def marker() -> Program:
    """The program, loaded. Where a driver has no room for metadata it passes packets on without a mark."""
    code = (
        (0xBF, 6, 1, 0, 0),  # r6 = the context
        (0xB7, 2, 0, 0, -MOVED_BYTES),
        (abi.OP_CALL, 0, 0, 0, XDP_ADJUST_META),
        (0x55, 0, 0, 6, 0),  # when that was refused, to the end
        (0x61, 2, 6, _DATA_META, 0),
        (0x61, 3, 6, _DATA, 0),
        (0xBF, 4, 2, 0, 0),
        (0x07, 4, 0, 0, MOVED_BYTES),
        (0x2D, 4, 3, 1, 0),  # when the room is not there after all, to the end
        (0x7A, 2, 0, 0, MOVED_MARK),
        (0xB7, 0, 0, 0, XDP_PASS),
        (0x95, 0, 0, 0, 0),
    )
    insns = b"".join(struct.pack("<BBhi", op, to | source << 4, at, value) for op, to, source, at, value in code)
    result = sys.prog_load(ProgramType.XDP, AttachType.XDP, insns, name=NAME, flags=abi.F_XDP_HAS_FRAGS)
    if result.fd is None:
        raise sys.refusal(f"loading the program `{NAME}`", result.errno)
    return Program(NAME, Hook.XDP, AttachType.XDP, True, result.fd)
