"""Berkeley packet filters: read from an expression or from bytecode, and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pfq.errors import LiteralError, TooBigError, UsageError
from pfq.lang.bytecode import CELLS, OPERATIONS, Instruction, check

MAX_EXPRESSION: Final = 2000
"""Characters. libpcap's optimiser takes over a second for some expressions of this length, eight times that for
those twice as long."""

_NUMBERS: Final = re.compile(r"[\s,]*[0-9][0-9\s,]*", re.ASCII)
_WORD: Final = (1 << 32) - 1

_COMPUTE: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda a, b: a + b & _WORD,
    "sub": lambda a, b: a - b & _WORD,
    "mul": lambda a, b: a * b & _WORD,
    "div": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "xor": lambda a, b: a ^ b,
    "lsh": lambda a, b: a << b & _WORD if b < 32 else 0,
    "rsh": lambda a, b: a >> b if b < 32 else 0,
}
_TEST: Final[dict[str, Callable[[int, int], bool]]] = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "set": lambda a, b: a & b != 0,
}


@dataclass(frozen=True, slots=True)
class BerkeleyFilter:
    """A filter for Ethernet frames in classic BPF.

    name          as in the program: the expression, or the bytecode in numbers
    instructions  well-formed
    """

    name: str
    instructions: tuple[Instruction, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> BerkeleyFilter:
        """From an expression of pcap-filter(7), or from bytecode as `tcpdump -ddd` prints it.

        Raises LiteralError or TooBigError, without a place; MachineError when libpcap is missing.
        """
        instructions = _of_numbers(text) if _NUMBERS.fullmatch(text) else _of_expression(text)
        check(instructions)
        return cls(text, tuple(instructions))

    @classmethod
    def of(cls, wanted: object) -> BerkeleyFilter:
        """A filter as users give it to a group: a text as for `parse`, or the instructions as (code, jt, jf, k) each,
        as in C's struct sock_fprog.

        Raises UsageError for anything else, and what `parse` raises.
        """
        match wanted:
            case BerkeleyFilter():
                return wanted
            case str():
                return cls.parse(wanted)
            case [*rows]:
                instructions = [_instruction(at, row) for at, row in enumerate(rows)]
                check(instructions)
                return cls(_as_numbers(instructions), tuple(instructions))
            case _:
                raise UsageError(f"a filter is an expression or a list of instructions, not {wanted!r}", hint=_WRITTEN)

    def accepts(self, frame: bytes, length: int) -> bool:
        """Whether the filter accepts a frame.

        frame   the bytes that it may see
        length  of the whole frame
        """
        a = x = at = 0
        cells = [0] * CELLS
        while True:
            code, jt, jf, k = self.instructions[at]
            at += 1
            match OPERATIONS[code]:
                case "return", source:
                    return bool(k if source == "k" else a)
                case "load", size:
                    if k + size > len(frame):
                        return False
                    a = int.from_bytes(frame[k : k + size], "big")
                case "load from x", size:
                    if x + k + size > len(frame):
                        return False
                    a = int.from_bytes(frame[x + k : x + k + size], "big")
                case ("load header size",):
                    if k >= len(frame):
                        return False
                    x = (frame[k] & 15) * 4
                case "compute", operation, source:
                    operand = k if source == "k" else x
                    if operation in ("div", "mod") and operand == 0:
                        return False
                    a = _COMPUTE[operation](a, operand)
                case "branch", test, source:
                    at += jt if _TEST[test](a, k if source == "k" else x) else jf
                case ("jump",):
                    at += k
                case ("negate",):
                    a = -a & _WORD
                case ("a to x",):
                    x = a
                case ("x to a",):
                    a = x
                case "keep", register:
                    cells[k] = a if register == "a" else x
                case kind, "a":
                    a = _value(kind, k, length, cells)
                case kind, _:
                    x = _value(kind, k, length, cells)


def steps(text: str) -> int:
    """The work to read a filter, in steps of evaluation: it grows with the cube of the length of an expression."""
    return 0 if _NUMBERS.fullmatch(text) else min(len(text), MAX_EXPRESSION) ** 3 // 50_000


def _value(kind: str, k: int, length: int, cells: list[int]) -> int:
    """What a register gets that does not come from the frame."""
    if kind == "fetch":
        return cells[k]
    return k if kind == "constant" else length & _WORD


def _of_expression(text: str) -> list[Instruction]:
    if len(text) > MAX_EXPRESSION:
        raise TooBigError(
            f"the filter has {len(text)} characters; at most {MAX_EXPRESSION} are accepted",
            hint="`addr_in` asks for a whole set of addresses",
        )
    if "\0" in text:
        raise LiteralError("the filter contains a NUL character")
    from pfq.lang.libpcap import compiled  # late: ctypes is slow to import, and most programs have no filter

    return [Instruction(*numbers) for numbers in compiled(text)]


_SAMPLE: Final = 'write it as `tcpdump -ddd` prints it, lines or commas between the instructions: "1,6 0 0 262144"'
_LARGEST: Final = Instruction(0xFFFF, 0xFF, 0xFF, _WORD)


def _of_numbers(text: str) -> list[Instruction]:
    """From the number of instructions and the four numbers of each, in lines or with commas between."""
    (first, *rest) = [line.split() for line in re.split(r"[,\n]", text) if line.strip()]
    if first != [str(len(rest))]:
        raise LiteralError("the bytecode must begin with the number of its instructions", hint=_SAMPLE)
    found = []
    for at, words in enumerate(rest):
        if len(words) != len(_LARGEST):
            raise LiteralError(f"instruction {at} of the filter does not have four numbers", hint=_SAMPLE)
        if any(len(word) > 10 or int(word) > most for word, most in zip(words, _LARGEST, strict=True)):
            raise LiteralError(f"instruction {at} of the filter has a number that is too large")
        found.append(Instruction(*map(int, words)))
    return found


_WRITTEN: Final = 'for example filter="tcp port 80", or [(code, jt, jf, k), ...] as of struct sock_filter'


def _instruction(at: int, row: object) -> Instruction:
    """One instruction of a list, with its place there."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) != len(_LARGEST):
        raise UsageError(f"instruction {at} of the filter is not four numbers: {row!r}", hint=_WRITTEN)
    if not all(isinstance(number, int) and 0 <= number <= most for number, most in zip(row, _LARGEST, strict=True)):
        raise UsageError(f"instruction {at} of the filter has a number out of its range: {row!r}", hint=_WRITTEN)
    return Instruction(*map(int, row))


def _as_numbers(instructions: Sequence[Instruction]) -> str:
    """As `tcpdump -ddd` prints them, in one line."""
    return ",".join([str(len(instructions)), *(" ".join(map(str, each)) for each in instructions)])
