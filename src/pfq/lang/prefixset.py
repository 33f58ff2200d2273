"""Sets of IP prefixes: read from a text or a file, merged into ranges, searched by bisection."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from os.path import exists
from pathlib import Path
from typing import Final

from pfq.errors import LiteralError, TooBigError
from pfq.lang.literals import address_fault, printable, short
from pfq.lang.sent import may_read_files

MAX_PREFIXES: Final = 1_000_000
MAX_FILE_BYTES: Final = 1 << 27
LONGEST_PATH, LONGEST_WORD = 200, 100

_SAMPLE: Final = 'write a list such as "10.0.0.0/8, 192.168.0.1, 2001:db8::/32", or the name of a file'
_NO_FILES: Final = "a program that is sent to a daemon cannot name files"
_SENT: Final = 'write the prefixes into the program, "10.0.0.0/8, 192.168.0.1", or send them by `replace_set`'
_ONE_A_LINE: Final = "write one prefix or address on each line"
_LIKE_ADDRESS: Final = re.compile(r"([0-9][0-9.]*|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)(/[0-9]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PrefixSet:
    """A set of IPv4 and IPv6 addresses, written as prefixes.

    name        as in the program: the name of a file, or the list itself
    boundaries4 ascending numbers between which the set changes: in it from the first on, out of it
                from the second on, and so forth; the last one may be missing
    boundaries6 the same for IPv6
    file        where it was read from; None for a list
    """

    name: str
    boundaries4: tuple[int, ...] = field(default=(), repr=False)
    boundaries6: tuple[int, ...] = field(default=(), repr=False)
    file: Path | None = field(default=None, repr=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.name, self.file, self.boundaries4, self.boundaries6)))

    def __hash__(self) -> int:
        return self._hash

    def __contains__(self, address: bytes) -> bool:
        """Whether a packed address is in it."""
        boundaries = self.boundaries4 if len(address) == 4 else self.boundaries6
        return bisect_right(boundaries, int.from_bytes(address, "big")) % 2 == 1

    @classmethod
    def parse(cls, text: str, directory: Path | None = None) -> PrefixSet:
        """From a list of prefixes and addresses, or the name of a file that has one on each line.

        A text whose first word is a prefix or an address is a list.

        directory  where relative file names begin; None for the current directory
        Raises LiteralError, or TooBigError, without a place.
        """
        words = text.replace(",", " ").split()
        if not words or _Ranges().add(words[0]):
            return cls.of(words, text)
        if not may_read_files():
            raise _no_prefix(words[0]) if _LIKE_ADDRESS.fullmatch(words[0]) else LiteralError(_NO_FILES, hint=_SENT)
        return _from_file(text, (directory or Path()) / text, words[0])

    def same_addresses(self, other: PrefixSet) -> bool:
        """Whether the other one has the same addresses in it, wherever they are from."""
        return (self.boundaries4, self.boundaries6) == (other.boundaries4, other.boundaries6)

    def read_again(self) -> PrefixSet:
        """The set that the file holds now; a list is what it was. Raises as `parse` does."""
        return self if self.file is None else _from_file(self.name, self.file, self.name)

    @classmethod
    def of(cls, words: Iterable[str], name: str | None = None) -> PrefixSet:
        """From prefixes and addresses; raises as `parse` does."""
        words, ranges = list(words), _Ranges()
        for word in words:
            if not ranges.add(word):
                raise _no_prefix(word)
        return ranges.named(", ".join(words) if name is None else name)


class _Ranges:
    """Collects prefixes.

    where  the set or file, for messages; what to do when it is empty is the hint
    """

    def __init__(self, where: str = "the set", hint: str = _SAMPLE) -> None:
        from socket import AF_INET, AF_INET6, inet_pton  # late: most programs have no set, and it is slow to import

        self.where = where
        self.hint = hint
        self.packed = inet_pton
        self.four = _Family(AF_INET, 32)
        self.six = _Family(AF_INET6, 128)

    def add(self, word: str) -> bool:
        """Adds a prefix or an address; False when the word is none."""
        address, slash, length = word.partition("/")
        family = self.six if ":" in address else self.four
        try:
            first = int.from_bytes(self.packed(family.number, address), "big")
            host_bits = family.host_bits[length] if slash else 0
        except (OSError, ValueError, KeyError):
            return self.add_unusual(word)
        family.found.append((first >> host_bits << host_bits) << 8 | host_bits)
        if len(family.found) > MAX_PREFIXES:
            raise self.too_many()
        return True

    def add_unusual(self, word: str) -> bool:
        """Adds what is an address or prefix elsewhere in a program, as 10.0.0.0/255.0.0.0 is."""
        try:
            network = ip_network(word, strict=False)
        except ValueError:
            return False
        return "%" not in word and self.add(str(network))

    def named(self, name: str) -> PrefixSet:
        """The set of what was added."""
        count = len(self.four.found) + len(self.six.found)
        if count == 0:
            raise LiteralError(f"{self.where} has no prefixes", hint=self.hint)
        if count > MAX_PREFIXES:
            raise self.too_many()
        return PrefixSet(name, self.four.boundaries(), self.six.boundaries())

    def too_many(self) -> TooBigError:
        return TooBigError(f"{self.where} has more than {MAX_PREFIXES} prefixes")


class _Family:
    """The prefixes of one family: each is its first address and, in the lowest 8 bits, how many bits follow it.

    number     of the family, for the operating system
    bits       of an address
    host_bits  bits behind a prefix, by its length as it is written
    """

    def __init__(self, number: int, bits: int) -> None:
        self.number = number
        self.bits = bits
        self.host_bits = {str(length): bits - length for length in range(bits + 1)}
        self.found: list[int] = []

    def boundaries(self) -> tuple[int, ...]:
        """Where the union of the prefixes begins and ends, in turn; the end of the last address is left out."""
        result: list[int] = []
        end = -1
        for prefix in sorted(self.found):
            first, behind = prefix >> 8, (prefix >> 8) + (1 << (prefix & 255))
            if first > end:
                result += (end, first)
                end = behind
            elif behind > end:
                end = behind
        result.append(end)
        return tuple(result[1:-1] if end == 1 << self.bits else result[1:])


def _from_file(name: str, path: Path, first_word: str) -> PrefixSet:
    """The set of a file.

    first_word  of its name, which may be meant as a prefix when there is no such file
    """
    shown = printable(str(path), LONGEST_PATH)
    ranges = _Ranges(shown, _ONE_A_LINE)
    for number, line in enumerate(_read(path, shown, first_word).split("\n"), 1):
        word = line.partition("#")[0].strip()
        if word and not ranges.add(word):
            fault = _no_prefix(word)
            raise LiteralError(f"{shown}, line {number}: {fault.message}", hint=fault.hint)
    return replace(ranges.named(name), file=path.absolute())


def _read(path: Path, shown: str, first_word: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        if _LIKE_ADDRESS.fullmatch(first_word) and not exists(path):
            raise _no_prefix(first_word) from None
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise LiteralError(f"cannot read {shown}: {reason}", hint=_SAMPLE) from None
    if len(data) > MAX_FILE_BYTES:
        raise TooBigError(f"{shown} has more than {MAX_FILE_BYTES} bytes")
    return data.decode("utf-8-sig", "replace")


def _no_prefix(word: str) -> LiteralError:
    shown = printable(word, LONGEST_WORD)
    message, hint = address_fault(shown)
    if re.search(r"\S[\s,]+\S", shown):
        message, hint = f"`{short(shown)}` is more than one word", f"{_ONE_A_LINE}, or in each item"
    return LiteralError(message, hint=hint)
