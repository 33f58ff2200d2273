"""The words of a file as the parser reads them: where it is, and what it reports there."""

from __future__ import annotations

from typing import NoReturn

from pfq.errors import ParseError
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, Token
from pfq.lang.syntax import Name
from pfq.source import Source, Span

_ENDS = frozenset({Kind.NEXT, Kind.CLOSE, Kind.END})


class Skip(Exception):
    """The rest of this item cannot be understood; it was reported."""


class Words:
    """The words of a file and the place reached in them."""

    def __init__(self, source: Source, tokens: list[Token], faults: Faults) -> None:
        self.source = source
        self.tokens = tokens
        self.faults = faults
        self.at = 0
        self.reported_at = -1

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def advance(self) -> Token:
        token = self.tokens[self.at]
        if token.kind is not Kind.END:
            self.at += 1
        return token

    def is_(self, text: str) -> bool:
        """The next word is this keyword, bracket or operator."""
        return self.tokens[self.at].text == text

    def ended(self) -> bool:
        return self.tokens[self.at].kind in _ENDS

    def span(self, token: Token) -> Span:
        return Span(self.source, token.start, token.end)

    def since(self, start: int) -> Span:
        """From a character offset to the end of the word before the next one."""
        return Span(self.source, start, max(self.before().end, start))

    def before(self) -> Token:
        """The last word that was really written before the next one."""
        at = self.at - 1
        while at > 0 and not self.tokens[at].text:
            at -= 1
        return self.tokens[max(at, 0)]

    def here(self) -> Span:
        """The next word, or the last one when the item ends here."""
        return self.span(self.before() if self.ended() and self.at else self.token)

    def report(self, message: str, span: Span | None = None, hint: str | None = None, *notes: tuple[Span, str]) -> None:
        """Reports an error, once for each word."""
        if self.reported_at != self.at:
            self.faults.add(ParseError(message, span or self.here(), hint, notes))
        self.reported_at = self.at

    def fail(self, message: str, span: Span | None = None, hint: str | None = None) -> NoReturn:
        self.report(message, span, hint)
        raise Skip

    def name(self, token: Token) -> Name:
        qualifier, _, name = token.text.rpartition(".")
        return Name(name, self.span(token), qualifier)
