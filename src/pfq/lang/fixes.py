"""What the parser says about a word that does not fit: (sentence, hint)."""

from __future__ import annotations

from typing import Final

from pfq.lang.lexer import Kind, Token
from pfq.lang.operators import OPERATORS
from pfq.source import did_you_mean

UNSUPPORTED: Final = {
    "case": "choose with `if … then … else …`",
    "elif": "write `else if`",
}
"""Words of other languages that begin what this one does not have."""

_ARITHMETIC: Final = "constants are computed with `+`, `-`, `*` and `.|.` only"

_SIGNS: Final = {
    "!": "write `not`",
    "~": "write `not`",
    "?": "choose with `if … then … else …`",
    ":": "conditions are written `if … then … else …`, and signatures `name :: Type`",
    "/": "there is no division; an address and its length are one word, as in `10.0.0.0/8`",
    ".": "to do one after the other write `>->`",
    "**": "multiply with `*`",
    **dict.fromkeys(("%", "^", "^^", "&", "&&", "||", ".&.", "<<", ">>"), _ARITHMETIC),
}

_CLOSERS: Final = frozenset({")", "]", ",", "then", "else", "in"})


def named(token: Token) -> str:
    """A word as it is called in a sentence."""
    if token.text == "`":
        return "a backtick"
    match token.kind:
        case Kind.END:
            return "the end of the program"
        case Kind.NEXT | Kind.CLOSE | Kind.OPEN:
            return f"`{token.text}`" if token.text else "the end of the definition"
    return f"`{token.text}`" if len(token.text) <= 40 else f"`{token.text[:36]}…`"


def unexpected(token: Token) -> tuple[str, str | None]:
    """A word that continues nothing."""
    message = f"{named(token)} does not belong here"
    match token.text:
        case "=":
            return message, "a definition is written `name parameters = …`; to compare write `.==`"
        case "..":
            return message, "there are no ranges: write each number of a list; test one by `p .>= 1 .&&. p .<= 9`"
        case "<-":
            return message, "actions return nothing: a step of a `do` block is an action alone"
        case "::":
            return message, "a signature stands on its own line, `name :: Type`"
        case ")" | "]":
            return f"{named(token)} closes nothing", f"remove it, or open it with `{'(' if token.text == ')' else '['}`"
        case "then" | "else":
            return message, "write `if … then … else …`"
        case ",":
            return message, "lists are written `[a, b]`; arguments stand side by side: `when is_tcp drop`"
        case "where":
            return message, "`where` follows the body of a definition"
    if token.first and token.column > 1:
        return message, "a line of a block begins below the first line of the block"
    return message, _comment(token)


def unknown_operator(token: Token) -> tuple[str, str | None]:
    hint = _comment(token) or _SIGNS.get(token.text) or did_you_mean(token.text, OPERATORS)
    return f"unknown operator {named(token)}", hint


def _comment(token: Token) -> str | None:
    return "comments begin with `--`" if token.text.startswith(("#", "//", "/*")) else None


def missing_operand(token: Token, before: Token, *, first: bool) -> tuple[str, str | None, Token]:
    """An expression is missing before `token` and after `before`; first: at the beginning of an item.

    The third part is the word to point at.
    """
    if _comment(token) or (first and token.text in _CLOSERS):
        return *unexpected(token), token
    if token.kind is Kind.KEYWORD and token.text in ("import", "module"):
        hint = "a file begins with `module Name where`, if at all, and then the imports"
        return f"{named(token)} does not belong here", hint, token
    if token.kind is Kind.OPERATOR and before.kind is Kind.OPERATOR and before.text not in ("=", "->", "\\"):
        return f"an expression is missing between {named(before)} and {named(token)}", None, token
    if token.kind in (Kind.NEXT, Kind.CLOSE, Kind.END) or token.text in _CLOSERS:
        return f"an expression is missing after {named(before)}", None, before
    return f"an expression is missing before {named(token)}", None, token
