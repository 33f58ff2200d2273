"""From text to words, each with its place."""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from pfq.errors import LexicalError, LiteralError, ProgramError, RangeError
from pfq.lang.faults import Faults
from pfq.lang.limits import MAX_NAME, MAX_SOURCE, MAX_TOKENS
from pfq.lang.literals import address_fault, short, unknown_character
from pfq.lang.program import Prefix
from pfq.source import Source, Span


class Kind(Enum):
    """What a word is. OPEN, NEXT and CLOSE bound the items of a block; the layout rule adds most of them."""

    NAME = "name"
    CONSTRUCTOR = "Name"
    KEYWORD = "keyword"
    NUMBER = "number"
    TEXT = "text"
    ADDRESS = "address"
    OPERATOR = "operator"
    BRACKET = "bracket"
    OPEN = "{"
    NEXT = ";"
    CLOSE = "}"
    WRONG = "wrong"
    END = "end"


class Token(NamedTuple):
    """One word.

    value   number, text, address or prefix that a literal stands for
    column  from 1, tabs counted to the next multiple of 8
    first   first word of its line
    """

    kind: Kind
    text: str
    start: int
    end: int
    column: int
    first: bool = False
    value: int | str | Prefix | IPv4Address | None = None


KEYWORDS: Final = frozenset({"do", "let", "in", "where", "if", "then", "else", "import", "module"})
TAB: Final = 8
BYTE_ORDER_MARK: Final = "\ufeff"
MAX_NUMBER: Final = (1 << 64) - 1

_SYMBOL = r"[!#$%&*+./<=>?@^|~:\-]"
_WORD = re.compile(
    rf"""
    (?P<newline> \n)
  | (?P<space>   [ \t\r]+)
  | (?P<comment> --+ (?!{_SYMBOL}) [^\n]*)
  | (?P<block>   \{{-)
  | (?P<ip6>     (?= :*[0-9A-Fa-f] | ::/) [0-9A-Fa-f]{{0,4}} (?: :[0-9A-Fa-f]{{0,4}}){{2,}} (?: \.[0-9]++)*+
                 (?: /[0-9]+)? (?![\w:]))
  | (?P<ip4>     [0-9]++ (?: \.[0-9]++)++ (?: /[0-9]++)?)
  | (?P<number>  [0-9][0-9A-Za-z_]*)
  | (?P<name>    (?: [A-Z][A-Za-z0-9_']* \.)* [a-z_][A-Za-z0-9_']*)
  | (?P<constructor> [A-Z][A-Za-z0-9_']* (?: \.[A-Z][A-Za-z0-9_']*)*)
  | (?P<text>    "(?: [^"\\\n]++ | \\[^\n])*+")
  | (?P<operator> {_SYMBOL}+ | [\\`])
  | (?P<bracket> [()\[\],])
  | (?P<brace>   [{{}};])
    """,
    re.VERBOSE | re.ASCII,
)
_COMMENT_MARK = re.compile(r"\{-|-\}|\n")
_BRACE = {"{": Kind.OPEN, ";": Kind.NEXT, "}": Kind.CLOSE}
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*", re.ASCII)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f]{1,6}\}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_QUOTES = {"'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}


def tokens_of(source: Source, faults: Faults) -> list[Token]:
    """The words of a text, the last one of kind END. What cannot be a word is reported and becomes WRONG."""
    if len(source.text) > MAX_SOURCE:
        faults.stop(
            f"the text of {source.name} has {len(source.text)} characters; at most {MAX_SOURCE} are accepted", None
        )
    return _Lexer(source, faults).run()


class _Lexer:
    def __init__(self, source: Source, faults: Faults) -> None:
        self.source = source
        self.text = source.text
        self.faults = faults
        self.tokens: list[Token] = []
        self.line_start = 0
        self.extra_columns = 0
        self.first = True

    def run(self) -> list[Token]:
        at, match, tokens = len(BYTE_ORDER_MARK) * self.text.startswith(BYTE_ORDER_MARK), _WORD.match, self.tokens
        text, size = self.text, len(self.text)
        while at < size:
            found = match(text, at)
            if found is None:
                at = self.unknown(at)
                continue
            group, end = found.lastgroup, found.end()
            if group == "newline":
                self.new_line(end)
            elif group == "space":
                self.tabs(at, end)
            elif group == "block":
                end = self.comment(at)
            elif group != "comment":
                self.word(str(group), at, end)
                if len(tokens) > MAX_TOKENS:
                    self.faults.stop(f"{self.source.name} has more than {MAX_TOKENS} words", self.span(at, end))
            at = end
        self.push(Kind.END, size, size)
        return tokens

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def push(self, kind: Kind, start: int, end: int, value: int | str | Prefix | IPv4Address | None = None) -> None:
        column = start - self.line_start + 1 + self.extra_columns
        self.tokens.append(Token(kind, self.text[start:end], start, end, column, self.first, value))
        self.first = False

    def word(self, group: str, start: int, end: int) -> None:
        match group:
            case "name" | "constructor":
                self.name(group, start, end)
            case "operator":
                self.push(Kind.OPERATOR, start, end)
            case "bracket":
                self.push(Kind.BRACKET, start, end)
            case "brace":
                self.push(_BRACE[self.text[start]], start, end)
            case "number":
                self.number(start, end)
            case "text":
                self.literal_text(start, end)
            case _:
                self.address(start, end)

    def name(self, group: str, start: int, end: int) -> None:
        if end - start > MAX_NAME:
            self.faults.stop(
                f"a name of {end - start} characters; at most {MAX_NAME} are accepted", self.span(start, start + 1)
            )
        kind = Kind.NAME if group == "name" else Kind.CONSTRUCTOR
        self.push(Kind.KEYWORD if self.text[start:end] in KEYWORDS else kind, start, end)

    def new_line(self, end: int) -> None:
        self.line_start, self.extra_columns, self.first = end, 0, True

    def tabs(self, start: int, end: int) -> None:
        if "\t" not in self.text[start:end]:
            return
        for at in range(start, end):
            if self.text[at] == "\t":
                column = at - self.line_start + self.extra_columns
                self.extra_columns += TAB - 1 - column % TAB

    def comment(self, start: int) -> int:
        """The end of a block comment; such comments nest."""
        depth = 0
        for mark in _COMMENT_MARK.finditer(self.text, start):
            if mark.group() == "\n":
                self.new_line(mark.end())
                continue
            depth += 1 if mark.group() == "{-" else -1
            if depth == 0:
                return mark.end()
        self.wrong(
            LexicalError("this comment has no end", self.span(start, start + 2), "close it with `-}`; comments nest")
        )
        return len(self.text)

    def number(self, start: int, end: int) -> None:
        text = self.text[start:end]
        span = self.span(start, end)
        if not _NUMBER.fullmatch(text) or text.endswith("_"):
            hint = "numbers are written 80, 0x50, 0o120 or 0b1010000, with `_` between digits if you like"
            self.wrong(LexicalError(f"`{short(text)}` is neither a number nor a name", span, hint))
            self.push(Kind.WRONG, start, end)
            return
        digits = text.replace("_", "").lower()
        base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
        # converting costs the square of the length, so do not convert what is too long anyway
        value = int(digits, base) if len(digits) <= 66 else MAX_NUMBER + 1
        if value > MAX_NUMBER:
            self.wrong(RangeError(f"{short(text)} does not fit into 64 bits", span))
            self.push(Kind.WRONG, start, end)
            return
        self.push(Kind.NUMBER, start, end, value)

    def literal_text(self, start: int, end: int) -> None:
        def unescape(found: re.Match[str]) -> str:
            escape = found.group(1)
            if escape[0] == "x" and len(escape) == 3:
                return chr(int(escape[1:], 16))
            if escape[0] == "u" and len(escape) > 1 and int(escape[2:-1], 16) <= 0x10FFFF:
                return chr(int(escape[2:-1], 16))
            if escape in _ESCAPES:
                return _ESCAPES[escape]
            at = start + 1 + found.start()
            self.wrong(
                LexicalError(
                    f"unknown escape `\\{escape}` in a text",
                    self.span(at, at + len(found.group())),
                    r"the escapes are \n \t \r \0 \\ \" \xHH and \u{HHHH}",
                )
            )
            return ""

        body = self.text[start + 1 : end - 1]
        wrong = len(self.faults)
        for at, char in enumerate(body if not body.isprintable() else "", start + 1):
            if not char.isprintable() and char != "\t":
                hint = f"write \\u{{{ord(char):x}}}"
                self.wrong(LexicalError(f"the character U+{ord(char):04X} in a text", self.span(at, at + 1), hint))
        value = _ESCAPE.sub(unescape, body) if "\\" in body else body
        self.push(Kind.TEXT if len(self.faults) == wrong else Kind.WRONG, start, end, value)

    def address(self, start: int, end: int) -> None:
        text = self.text[start:end]
        try:
            value = Prefix.parse(text) if "/" in text or ":" in text else IPv4Address(text)
        except ValueError:
            message, hint = address_fault(text)
            self.wrong(LiteralError(message, self.span(start, end), hint))
            self.push(Kind.WRONG, start, end)
            return
        self.push(Kind.ADDRESS, start, end, value)

    def unknown(self, start: int) -> int:
        """Reports what cannot begin a word; the end of it."""
        text, line_end = self.text, self.text.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        char = text[start]
        if char == '"':
            self.wrong(LexicalError("this text has no closing quote", self.span(start, line_end), 'close it with `"`'))
            self.push(Kind.WRONG, start, line_end)
            return line_end
        if char in _QUOTES and (close := text.find(_QUOTES[char], start + 1, line_end)) > 0:
            inside = text[start + 1 : close]
            hint = f'write "{short(inside)}"'
            self.wrong(LexicalError("text is written in double quotes", self.span(start, close + 1), hint))
            self.push(Kind.TEXT, start, close + 1, inside)
            return close + 1
        end = start + 1
        while end < line_end and text[end] == char:
            end += 1
        self.wrong(unknown_character(char, self.span(start, end)))
        if char != "\u00a0":
            self.push(Kind.WRONG, start, end)
        return end

    def wrong(self, fault: ProgramError) -> None:
        self.faults.add(fault)
