"""Where keys and values are in a TOML text. `tomllib` gives values without places, and errors need places.

The text has been accepted by `tomllib` before, so this reads only as much as it takes to walk over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pfq.source import Source, Span

Path = tuple[str | int, ...]
"""The way to a value: names of keys, and numbers of elements."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^\s,\]}#]+(?: [0-9:.Zz+-]+)?")


class Places:
    """The places of a text, by way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._text = source.text
        self._at = 0
        self._keys: dict[Path, Span] = {}
        self._values: dict[Path, Span] = {}
        self._lengths: dict[Path, int] = {}
        self._read()

    def key(self, *way: str | int) -> Span | None:
        """Where a key stands, or else the nearest thing around it that has a place."""
        while way:
            if found := self._keys.get(way) or self._values.get(way):
                return found
            way = way[:-1]
        return None

    def value(self, *way: str | int) -> Span | None:
        """Where a value stands, or else as `key`."""
        return self._values.get(way) or self.key(*way)

    def _read(self) -> None:
        table: Path = ()
        while self._skip() < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        """`[a.b]`, or `[[a.b]]`, which begins another element."""
        several = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if several else 1
        keys = [name for name, _ in self._dotted()]
        self._at = self._text.index("]", self._at) + (2 if several else 1)
        way: Path = ()
        for each in keys[:-1]:
            way = self._last((*way, each))
        way = (*way, keys[-1])
        if several:
            number = self._lengths[way] = self._lengths.get(way, 0) + 1
            way = (*way, number - 1)
        self._keys[way] = Span(self.source, start, self._at)
        return way

    def _last(self, way: Path) -> Path:
        """A table, or the last element of an array of tables."""
        return (*way, self._lengths[way] - 1) if way in self._lengths else way

    def _pair(self, table: Path) -> None:
        way = table
        for name, span in self._dotted():
            way = (*way, name)
            self._keys.setdefault(way, span)
        self._at = self._text.index("=", self._at) + 1
        self._value(way)

    def _dotted(self) -> Iterator[tuple[str, Span]]:
        """The parts of a key, up to what follows it."""
        while True:
            start = self._skip()
            found = _STRING.match(self._text, start) or _BARE.match(self._text, start)
            if found is None:
                return
            self._at = found.end()
            yield found[0].strip("\"'"), Span(self.source, start, self._at)
            if self._text[self._skip()] != ".":
                return
            self._at += 1

    def _value(self, way: Path) -> None:
        start = self._skip()
        match self._text[start]:
            case "[":
                self._array(way)
            case "{":
                self._table(way)
            case _:
                found = _STRING.match(self._text, start) or _SCALAR.match(self._text, start)
                self._at = found.end() if found else start + 1
        self._values[way] = Span(self.source, start, self._at)

    def _array(self, way: Path) -> None:
        self._at += 1
        number = 0
        while self._text[self._skip()] != "]":
            self._value((*way, number))
            number += 1
            self._comma()
        self._at += 1

    def _table(self, way: Path) -> None:
        self._at += 1
        while self._text[self._skip()] != "}":
            self._pair(way)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        if self._text[self._skip()] == ",":
            self._at += 1

    def _skip(self) -> int:
        """Goes over blanks, ends of lines and comments."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at
