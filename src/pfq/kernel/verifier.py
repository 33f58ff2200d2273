"""Turns the kernel verifier's log into one sentence and a place in the user's program."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pfq.errors import VerifierError
from pfq.kernel.elf import Image
from pfq.source import Span

_INSTRUCTION = re.compile(r"^(\d+): \([0-9a-f]{2}\)")
_NAMED_INSTRUCTION = re.compile(r"\binsn (\d+)")
_NOT_A_MESSAGE = re.compile(
    r"^\s*$|^\d+: |^from \d+ to \d+|^; |^processed \d+|^verification time|^stack depth|^Validating |^Func#"
    r"|^mark_precise|^regs=|^parent |^last_idx|^caller:|^callee:|^returning from|^to caller|^(old|cur) state"
    r"|^\s*(frame\d+: )?R\d+(_\w+)?="
)

_SPLIT = "split it: fewer groups on one device, fewer alternatives in one program"
_REPORT = "the compiler should never write such a program: please report it, with the program and `pfq probe`"
_OLD_KERNEL = "PFQ needs Linux 6.1 or newer; `pfq probe` shows what this kernel has"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One class of refusals: the messages it is known by, what they mean, and the remedy."""

    pattern: re.Pattern[str]
    meaning: str
    hint: str


def _row(pattern: str, meaning: str, hint: str) -> Refusal:
    return Refusal(re.compile(pattern), meaning, hint)


REFUSALS = (
    _row(r"BPF program is too large", "the program is too large: the kernel checks at most 1,000,000 steps", _SPLIT),
    _row(r"jumps is too complex", "the program has too many branches for the kernel to check", _SPLIT),
    _row(
        r"combined stack size|invalid .*stack .*off=-(51[3-9]|5[2-9]\d|[6-9]\d\d|\d{4,})",
        "the program needs more than the 512 bytes of stack that the kernel allows",
        _SPLIT,
    ),
    _row(r"call stack of \d+ frames|too many subprograms", "the program calls too deeply", _SPLIT),
    _row(
        r"invalid access to packet|outside of the packet",
        "the program reads bytes of the packet without having checked that they are there",
        _REPORT,
    ),
    _row(r"back-edge|infinite loop", "the program has a loop of which the kernel cannot tell the end", _REPORT),
    _row(
        r"(unknown|invalid) func |cannot use helper|helper call is not allowed|kernel function .* is not allowed",
        "the program calls a function that this kernel does not have, or not for this hook",
        _OLD_KERNEL,
    ),
    _row(r"unknown opcode|BPF_ATOMIC", "the program has an instruction that this kernel does not know", _OLD_KERNEL),
    _row(r"unreachable insn", "the program has instructions that nothing reaches", _REPORT),
)


def explain(log: str, number: int, image: Image, places: Sequence[Span]) -> VerifierError:
    """The error for a program that the verifier refused with errno `number`.

    places  source line number in the debug information -> place in the user's program, from 1
    """
    said = "; ".join(_last_messages(log)) or errno.errorcode.get(number, str(number))
    if number == errno.E2BIG and said == "E2BIG":
        # Without a log, or behind an instruction on its line, where older kernels put it.
        said = "BPF program is too large"
    known = next((row for row in REFUSALS if row.pattern.search(said)), None)
    insn = _instruction(log, said)
    reason = f"{known.meaning} ({said})" if known else said
    where = "" if insn is None else f", at instruction {insn}"
    return VerifierError(
        f"the kernel refused the program: {reason}{where}",
        None if insn is None else _place(image, insn, places),
        known.hint if known else _REPORT,
        log,
    )


def _last_messages(log: str) -> list[str]:
    """The verifier's last words: the messages behind the last instruction, at most two of them.

    One is not always enough: "R2 offset is outside of the packet" follows "invalid access to packet".
    """
    words: list[str] = []
    for line in reversed(log.splitlines()):
        if _NOT_A_MESSAGE.search(line):
            if words and _INSTRUCTION.match(line):
                break
            continue
        words.insert(0, line.strip())
        if len(words) == 2:
            break
    return words


def _instruction(log: str, said: str) -> int | None:
    if named := _NAMED_INSTRUCTION.search(said):
        return int(named.group(1))
    for line in reversed(log.splitlines()):
        if found := _INSTRUCTION.match(line):
            return int(found.group(1))
    return None


def _place(image: Image, insn: int, places: Sequence[Span]) -> Span | None:
    line = image.line_of(insn)
    return places[line - 1] if line is not None and line <= len(places) else None
