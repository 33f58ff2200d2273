"""LLDP: which device and port is at the other end of the cable."""

from __future__ import annotations

from .line import Line, ethertype, number, take

END, SYSTEM_NAME = 0, 5


@ethertype(0x88CC)
def lldp(line: Line, data: bytes, length: int) -> None:
    line.enter("lldp")
    line.add(f"LLDP, length {length}")
    offset = 0
    while offset + 2 <= length:
        word = number(data, offset, 2)
        kind, size = word >> 9, word & 0x1FF
        if kind == END:
            return
        value = take(data, offset + 2, size)
        if kind == SYSTEM_NAME:
            line.add(": " + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in value))
        offset += 2 + size
