"""The layout rule, shown as text: OPEN `{`, NEXT `;`, CLOSE `}`."""

from __future__ import annotations

import pytest

from pfq.errors import LexicalError, ParseError, TooBigError
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, tokens_of
from pfq.lang.limits import MAX_NESTING
from pfq.lang.offside import laid_out
from pfq.source import Source

SIGNS = {Kind.OPEN: "{", Kind.NEXT: ";", Kind.CLOSE: "}", Kind.END: ""}


def layout(text: str) -> str:
    faults, source = Faults(), Source("test", text)
    found = laid_out(source, tokens_of(source, faults), faults)
    faults.check()
    return " ".join(SIGNS.get(token.kind, token.text) for token in found).strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "{ }"),
        ("a\nb", "{ a ; b }"),
        ("  a\n  b\n c", "{ a ; b ; c }"),
        ("a\n b\n  c\nd", "{ a b c ; d }"),
        ("a\n>-> b", "{ a >-> b }"),
        ("x = do\n  a\n  b\ny", "{ x = do { a ; b } ; y }"),
        ("x = do a\n       b\n        c", "{ x = do { a ; b c } }"),
        ("x = do\n  a\n  do\n    b\n  c", "{ x = do { a ; do { b } ; c } }"),
        ("x = do\na", "{ x = do { } ; a }"),
        ("x = do", "{ x = do { } }"),
        ("x = (do a)", "{ x = ( do { a } ) }"),
        ("x = (do\n  a\n  )", "{ x = ( do { a } ) }"),
        ("x = [do a, do b]", "{ x = [ do { a } , do { b } ] }"),
        ("x = let a = 1 in b", "{ x = let { a = 1 } in b }"),
        ("x = let a = 1\n        b = 2\n    in c", "{ x = let { a = 1 ; b = 2 } in c }"),
        ("x = let a = let b = 1 in b in a", "{ x = let { a = let { b = 1 } in b } in a }"),
        ("x = if a then do b else do c", "{ x = if a then do { b } else do { c } }"),
        ("x = do\n  if a\n  then b\n  else c\n  d", "{ x = do { if a then b else c ; d } }"),
        ("x = do\n  a\n where\n  b = 1\ny", "{ x = do { a } where { b = 1 } ; y }"),
        ("x = do\n  a\n  where b = 1", "{ x = do { a } where { b = 1 } }"),
        ("x = do { a; b\n; c }\ny", "{ x = do { a ; b ; c } ; y }"),
        ("x = do {\n  a\n} y", "{ x = do { a } y }"),
        ("x = f (a\n  b", "{ x = f ( a b }"),
        ("x = f (a\ny = b", "{ x = f ( a ; y = b }"),
        ("x = do\n  f (a\n  b", "{ x = do { f ( a ; b } }"),
        ('x = [\n"a",\n"b"\n]', '{ x = [ "a" , "b" ] }'),
        ("module M (a) where\na", "module M ( a ) where { a }"),
        ("let a = 1\nb", "{ let { a = 1 } ; b }"),
        ("x = do\n  let a = 1\n      b = 2\n  c", "{ x = do { let { a = 1 ; b = 2 } ; c } }"),
    ],
)
def test_layout(text: str, expected: str) -> None:
    assert layout(text) == expected


def test_tab_in_a_block() -> None:
    with pytest.raises(LexicalError, match="tab"):
        layout("x = do\n  a\n\tb")


def test_tab_outside_blocks() -> None:
    assert layout("x =\n\ta\n\t>-> b") == "{ x = a >-> b }"


def test_brace_closes_nothing() -> None:
    with pytest.raises(ParseError, match="closes nothing"):
        layout("a }")


def test_nesting_is_limited() -> None:
    with pytest.raises(TooBigError):
        layout("(" * (2 * MAX_NESTING + 1))
