"""The layout rule: turns indentation into OPEN, NEXT and CLOSE around the items of blocks.

    main = do          {main = do
        ip                 {ip
        steer_flow         ;steer_flow}}

A block begins after `do`, `let`, `where` and at the top of the file; its column is that of its
first word. A line that begins at this column begins the next item, one further left ends the
block, one further right continues the item. Within braces there is no layout.

Beyond Haskell's rule: a line that cannot begin an item (an operator, `then`, `)` ...) continues the
one before at any column, and a line that begins an item of an outer block ends a bracket that was
left open, so that a missing bracket spoils one definition only.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from pfq.errors import LexicalError, ParseError
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, Token
from pfq.lang.limits import MAX_NESTING
from pfq.source import Source, Span


class _What(Enum):
    DO = "do"
    LET = "let"
    WHERE = "where"
    TOP = "top"
    BRACES = "{"
    BRACKET = "("
    IF_WORD = "if"
    LET_WORD = "let word"


_IMPLICIT: Final = frozenset({_What.DO, _What.LET, _What.WHERE, _What.TOP})
_OPENERS: Final = {"do": _What.DO, "let": _What.LET, "where": _What.WHERE}
_CONTINUING: Final = frozenset({"then", "else", "in", "where", ")", "]", ","})


class _Context(NamedTuple):
    what: _What
    column: int = 0


def laid_out(source: Source, tokens: list[Token], faults: Faults) -> list[Token]:
    """The words with the bounds of all blocks made explicit; the whole file is one block."""
    return _Layout(source, faults).run(tokens)


class _Layout:
    def __init__(self, source: Source, faults: Faults) -> None:
        self.source = source
        self.faults = faults
        self.out: list[Token] = []
        self.stack: list[_Context] = []
        self.tabs_reported = False

    def run(self, tokens: list[Token]) -> list[Token]:
        at = self.header(tokens)
        pending: _What | None = _What.TOP
        for token in tokens[at:]:
            fresh = pending is not None and self.open(pending, token)
            if token.first and not fresh:
                self.line(token)
            if pending is not None and token.kind is Kind.OPEN and fresh:
                pending = None
                continue
            pending = self.word(token)
        return self.out

    def header(self, tokens: list[Token]) -> int:
        """Passes `module NAME (…) where` through; the number of its words."""
        if tokens[0].text != "module":
            return 0
        for at, token in enumerate(tokens):
            if token.text == "where" and token.kind is Kind.KEYWORD:
                self.out += tokens[: at + 1]
                return at + 1
        return 0

    def open(self, what: _What, token: Token) -> bool:
        """Begins a block at `token`; False when it is empty, because the token belongs to an outer one."""
        if token.kind is Kind.OPEN:
            self.push(_Context(_What.BRACES), token)
            self.out.append(token)
            return True
        if what is not _What.TOP and (token.column <= self.outer_column() or token.kind is Kind.END):
            self.add(Kind.OPEN, token)
            self.add(Kind.CLOSE, token)
            return False
        self.push(_Context(what, token.column), token)
        self.add(Kind.OPEN, token)
        return True

    def outer_column(self) -> int:
        for context in reversed(self.stack):
            if context.what in _IMPLICIT:
                return context.column
            if context.what is _What.BRACES:
                return 0
        return 0

    def line(self, token: Token) -> None:
        """Ends blocks and begins an item as the column of the first word of a line demands."""
        while (at := self.block_of(token)) is not None:
            block = self.stack[at]
            tabs = len(self.stack) > 1 and self.has_tabs(token)
            if not tabs and token.column < block.column and block.what is not _What.TOP:
                del self.stack[at:]
                self.add(Kind.CLOSE, token)
                continue
            if (tabs or token.column <= block.column) and _can_begin(token):
                del self.stack[at + 1 :]
                self.add(Kind.NEXT, token)
            return

    def block_of(self, token: Token) -> int | None:
        """Index of the block that the column of a line is compared with; None inside braces or brackets."""
        crossed = False
        for at in range(len(self.stack) - 1, -1, -1):
            context = self.stack[at]
            if context.what in _IMPLICIT:
                if crossed and not (token.column <= context.column and _begins(token, context.what)):
                    return None
                return at
            if context.what is _What.BRACES:
                return None
            crossed = crossed or context.what is _What.BRACKET
        return None

    def word(self, token: Token) -> _What | None:
        """Passes a word on; returns the kind of block that must follow it."""
        if token.kind is Kind.END:
            self.end_blocks(0, token)
        elif token.kind is Kind.BRACKET:
            self.bracket(token)
        elif token.kind is Kind.OPEN:
            self.push(_Context(_What.BRACES), token)
        elif token.kind is Kind.CLOSE and not self.back_to(_What.BRACES, token, remove=True):
            span = Span(self.source, token.start, token.end)
            self.faults.add(ParseError("`}` closes nothing", span, "remove it, or open it with `{`"))
            return None
        elif token.kind is Kind.NEXT:
            self.next_item()
        elif token.kind is Kind.KEYWORD:
            self.keyword(token)
        self.out.append(token)
        return _OPENERS.get(token.text) if token.kind is Kind.KEYWORD else None

    def keyword(self, token: Token) -> None:
        match token.text:
            case "if":
                self.push(_Context(_What.IF_WORD), token)
            case "let":
                self.push(_Context(_What.LET_WORD), token)
            case "then":
                self.back_to(_What.IF_WORD, token, remove=False)
            case "else":
                self.back_to(_What.IF_WORD, token, remove=True)
            case "in":
                self.back_to(_What.LET_WORD, token, remove=True)
            case "where":
                self.end_do_blocks(token)

    def bracket(self, token: Token) -> None:
        if token.text in "([":
            self.push(_Context(_What.BRACKET), token)
        else:
            self.back_to(_What.BRACKET, token, remove=token.text != ",")

    def back_to(self, what: _What, token: Token, *, remove: bool) -> bool:
        """Ends the implicit blocks opened since the innermost `what`; False when there is none in reach."""
        for at in range(len(self.stack) - 1, -1, -1):
            found = self.stack[at].what
            if found is what:
                self.end_blocks(at + 1, token)
                if remove:
                    del self.stack[at:]
                return True
            if found in (_What.BRACES, _What.BRACKET):
                return False
        return False

    def end_do_blocks(self, token: Token) -> None:
        """`where` belongs to a definition, so it ends the `do` blocks of the definition's body."""
        for at in range(len(self.stack) - 1, -1, -1):
            what = self.stack[at].what
            if what not in (_What.DO, _What.IF_WORD, _What.LET_WORD):
                self.end_blocks(at + 1, token)
                return

    def end_blocks(self, first: int, token: Token) -> None:
        for context in self.stack[first:]:
            if context.what in _IMPLICIT:
                self.add(Kind.CLOSE, token)
        del self.stack[first:]

    def next_item(self) -> None:
        while self.stack and self.stack[-1].what in (_What.IF_WORD, _What.LET_WORD):
            self.stack.pop()

    def push(self, context: _Context, token: Token) -> None:
        if len(self.stack) >= 2 * MAX_NESTING:
            self.faults.stop(
                f"brackets and blocks are nested more than {MAX_NESTING} deep",
                Span(self.source, token.start, token.end),
                "give inner parts a name of their own",
            )
        self.stack.append(context)

    def add(self, kind: Kind, token: Token) -> None:
        self.out.append(Token(kind, "", token.start, token.start, token.column))

    def has_tabs(self, token: Token) -> bool:
        """Whether a tab indents the line, so that its column means nothing; the first one is reported."""
        start = self.source.text.rfind("\n", 0, token.start) + 1
        tab = self.source.text.find("\t", start, token.start)
        if tab >= 0 and not self.tabs_reported:
            self.tabs_reported = True
            span = Span(self.source, tab, tab + 1)
            self.faults.add(LexicalError("a tab indents a line of a block", span, "indent with spaces"))
        return tab >= 0


def _can_begin(token: Token) -> bool:
    if token.kind is Kind.OPERATOR:
        return token.text == "\\"
    return token.text not in _CONTINUING and token.kind is not Kind.END


def _begins(token: Token, what: _What) -> bool:
    """Whether a line with this first word surely begins an item, even though a bracket is open."""
    if what is _What.DO:
        return token.kind is Kind.NAME or token.text in ("if", "do", "let", "(")
    return token.kind is Kind.NAME or token.text == "import"
