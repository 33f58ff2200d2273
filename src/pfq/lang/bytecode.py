"""Classic BPF: the instructions of its machine, and which programs are well-formed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pfq.errors import LiteralError, TooBigError

MAX_INSTRUCTIONS: Final = 4096
CELLS: Final = 16
"""Words of the machine's memory."""
EXTENSIONS: Final = range(0xFFFFF000, 0xFFFFF040)
"""Offsets at which sockets of Linux find what is not in the packet (SKF_AD_OFF and up)."""


class Instruction(NamedTuple):
    """One instruction, as in struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


_SIZES: Final = {0x00: 4, 0x08: 2, 0x10: 1}
_ARITHMETIC: Final = ("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor")
_TESTS: Final = ("eq", "gt", "ge", "set")

OPERATIONS: Final[dict[int, tuple[Any, ...]]] = {
    0x00: ("constant", "a"),
    0x01: ("constant", "x"),
    **{0x20 | bits: ("load", size) for bits, size in _SIZES.items()},
    **{0x40 | bits: ("load from x", size) for bits, size in _SIZES.items()},
    0xB1: ("load header size",),
    0x60: ("fetch", "a"),
    0x61: ("fetch", "x"),
    0x02: ("keep", "a"),
    0x03: ("keep", "x"),
    0x80: ("length", "a"),
    0x81: ("length", "x"),
    **{
        0x04 | number << 4 | source << 3: ("compute", name, "kx"[source])
        for number, name in enumerate(_ARITHMETIC)
        for source in (0, 1)
        if name != "neg"
    },
    0x84: ("negate",),
    0x05: ("jump",),
    **{
        0x05 | number << 4 | source << 3: ("branch", name, "kx"[source])
        for number, name in enumerate(_TESTS, 1)
        for source in (0, 1)
    },
    0x06: ("return", "k"),
    0x16: ("return", "a"),
    0x07: ("a to x",),
    0x87: ("x to a",),
}
"""What the machine knows, by code: the operation, then its register, its size in bytes, or what it is done with."""


def targets(at: int, instruction: Instruction) -> tuple[int, ...]:
    """Where the machine may go on behind the instruction at a place."""
    match OPERATIONS[instruction.code][0]:
        case "return":
            return ()
        case "jump":
            return (at + 1 + instruction.k,)
        case "branch":
            return at + 1 + instruction.jt, at + 1 + instruction.jf
        case _:
            return (at + 1,)


def check(instructions: Sequence[Instruction]) -> None:
    """As the kernel checks a filter: every way ends with a return, nothing is done that has no meaning.

    Raises LiteralError or TooBigError, without a place.
    """
    count = len(instructions)
    if count == 0:
        raise LiteralError("the filter has no instructions")
    if count > MAX_INSTRUCTIONS:
        raise TooBigError(f"the filter has {count} instructions; at most {MAX_INSTRUCTIONS} are accepted")
    # Which cells of the memory hold something on every way to an instruction, as bits.
    kept = [(1 << CELLS) - 1] * (count + 1)
    kept[0] = 0
    for at, instruction in enumerate(instructions):
        fault = _fault(instruction, kept[at])
        if fault is None:
            keeps = OPERATIONS[instruction.code][0] == "keep"
            after = kept[at] | (1 << instruction.k if keeps else 0)
            for target in targets(at, instruction):
                if target >= count:
                    fault = "goes past the end"
                else:
                    kept[target] &= after
        if fault is not None:
            raise LiteralError(f"instruction {at} of the filter {fault}")


def _fault(instruction: Instruction, kept: int) -> str | None:
    """What is wrong with an instruction by itself, and with what it fetches; completes a sentence."""
    code, _, _, k = instruction
    match OPERATIONS.get(code):
        case None:
            return f"has the unknown code {code:#x}"
        case "compute", "div" | "mod", "k" if k == 0:
            return "divides by 0"
        case "compute", "lsh" | "rsh", "k" if k > 31:
            return f"shifts by {k} bits, which is more than 31"
        case (("fetch" | "keep"), _) if k >= CELLS:
            return f"uses cell {k} of the memory, which has {CELLS}"
        case "fetch", _ if not kept >> k & 1:
            return f"fetches cell {k} of the memory, into which nothing was put before"
        case "jump", *_ if k >> 31:
            return "jumps backwards, as `protochain` does; `l4_proto` looks behind extension headers"
        case "load", _ if k in EXTENSIONS:
            return "asks for what is not in the packet, such as its direction; only sockets of Linux know it"
    return None
