"""Makes loops end with a jump, which older kernels (6.1 among them) insist on.

LLVM may let the last instruction of a loop fall through into the first. Such a kernel takes that for a loop that nobody
meant, unless the instruction is a jump. A jump to the next instruction will do; once the program is checked, the
kernel takes it out again.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pfq.kernel.abi import OP_CALL, OP_LD_IMM64, PSEUDO_CALL
from pfq.kernel.elf import Image

Insn = tuple[int, int, int, int]
"""opcode, registers, jump offset, immediate value"""

_INSN, _FUNCTION, _LINE = struct.Struct("<BBhi"), struct.Struct("<2I"), struct.Struct("<4I")
_CLASS, _JUMPS = 0x07, (0x05, 0x06)
_GOTO, _EXIT = 0x05, 0x95
_TO_THE_NEXT = _INSN.pack(_GOTO, 0, 0, 0)


def closed(image: Image) -> Image:
    """The same program, in which every loop is closed by a jump."""
    code = list(_INSN.iter_unpack(image.insns))
    places = sorted({place for start, _ in image.functions for place in _fallen_into(code, start)})
    if not places:
        return image

    def moved(insn: int) -> int:
        return insn + bisect_right(places, insn)

    insns = bytearray()
    for at, (opcode, registers, offset, value) in enumerate(code):
        if at in places:
            insns += _TO_THE_NEXT
        if _jumps(opcode):
            offset = moved(at + 1 + offset) - moved(at) - 1
        elif opcode == OP_CALL and registers >> 4 == PSEUDO_CALL:
            value = moved(at + 1 + value) - moved(at) - 1
        insns += _INSN.pack(opcode, registers, offset, value)
    return replace(
        image,
        insns=bytes(insns),
        map_references=tuple(replace(reference, insn=moved(reference.insn)) for reference in image.map_references),
        functions=tuple((moved(start), name) for start, name in image.functions),
        func_info=_moved(image.func_info, _FUNCTION, moved),
        line_info=_moved(image.line_info, _LINE, moved),
    )


def _moved(table: bytes, record: struct.Struct, moved: Callable[[int], int]) -> bytes:
    return b"".join(record.pack(moved(insn), *rest) for insn, *rest in record.iter_unpack(table))


def _jumps(opcode: int) -> bool:
    return opcode & _CLASS in _JUMPS and opcode not in (OP_CALL, _EXIT)


def _fallen_into(code: Sequence[Insn], start: int) -> Iterator[int]:
    """Where loops of the function begin that are not closed by a jump."""
    path, seen = set(), {start}
    stack = [(start, _behind(code, start))]
    while stack:
        at, rest = stack[-1]
        path.add(at)
        for following in rest:
            if following in path and not _jumps(code[at][0]):
                yield following
            elif following not in seen:
                seen.add(following)
                stack.append((following, _behind(code, following)))
                break
        else:
            path.discard(at)
            stack.pop()


def _behind(code: Sequence[Insn], at: int) -> Iterator[int]:
    """The instructions that may follow one of the same function."""
    opcode, _, offset, _ = code[at]
    if opcode not in (_GOTO, _EXIT):
        yield at + (2 if opcode == OP_LD_IMM64 else 1)
    if _jumps(opcode):
        yield at + 1 + offset
