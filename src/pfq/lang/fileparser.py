"""Parses what stands around expressions: imports, definitions, signatures, the whole file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

from pfq.errors import DuplicateNameError, ImportFailedError, MainError, ParseError, UnknownNameError
from pfq.lang import typeparser
from pfq.lang.dependencies import ordered
from pfq.lang.faults import Faults
from pfq.lang.fixes import named, unexpected
from pfq.lang.lexer import Kind, Token, tokens_of
from pfq.lang.offside import laid_out
from pfq.lang.parser import Expressions
from pfq.lang.syntax import Apply, Bindings, Definition, Expr, File, Import, Infix, Let, Name, Signature, Wrong
from pfq.lang.types import ERROR
from pfq.lang.words import Skip
from pfq.source import Source, Span, did_you_mean


def parse(source: Source, faults: Faults) -> File:
    """The tree of a file. A single expression without a name is its `main`."""
    tokens = laid_out(source, tokens_of(source, faults), faults)
    return _Files(source, tokens, faults).file()


@dataclass(slots=True)
class _Items:
    """What a block of definitions holds, in the order of the text."""

    definitions: list[Definition]
    signatures: list[tuple[str, Span, Signature]]


class _Files(Expressions):
    def __init__(self, source: Source, tokens: list[Token], faults: Faults) -> None:
        super().__init__(source, tokens, faults)
        self.imports: list[Import] = []
        self.expressions: list[Expr] = []

    def file(self) -> File:
        exports = self.header()
        items = _Items([], [])
        self.block(lambda: self.top_item(items))
        definitions = self.with_main(self.joined(items))
        return File(tuple(self.imports), ordered(definitions), exports)

    def header(self) -> frozenset[str] | None:
        """`module NAME (names) where`: the exported names."""
        if not self.is_("module"):
            return None
        exports = None
        while self.token.kind not in (Kind.OPEN, Kind.END):
            if self.is_("("):
                exports = self.names()
            else:
                self.advance()
        return exports

    def top_item(self, items: _Items) -> None:
        if self.is_("import"):
            self.import_()
        elif self.defines():
            self.empty_do = False
            self.item(items)
        else:
            # after a `do` without steps these are its steps, not indented: that was reported
            orphan = self.empty_do
            expr = self.expression()
            if not orphan:
                self.expressions.append(expr)

    def defines(self) -> bool:
        """Whether the next item is a definition or a signature, not an expression."""
        depth = 0
        for at in range(self.at, len(self.tokens)):
            token = self.tokens[at]
            if token.kind is Kind.OPEN:
                depth += 1
            elif depth and token.kind is Kind.CLOSE:
                depth -= 1
            elif depth == 0 and token.text in ("=", "::"):
                return token.kind is Kind.OPERATOR
            elif depth == 0 and token.kind in (Kind.NEXT, Kind.CLOSE, Kind.END):
                return False
        return False

    def definitions(self) -> Bindings:
        items = _Items([], [])
        if self.token.kind is not Kind.OPEN:
            self.fail(f"definitions are missing after `{self.before().text}`")
        self.block(lambda: self.item(items))
        return ordered(self.joined(items))

    def item(self, items: _Items) -> None:
        """One definition or signature of a block."""
        start = self.token
        if start.kind is not Kind.NAME or "." in start.text:
            capital = "names begin with a small letter" if start.kind is Kind.CONSTRUCTOR else "write `name = …`"
            self.fail("a definition begins with a name", None, capital)
        if self.tokens[self.at + 1].text in ("::", ","):
            self.signature(items)
        else:
            self.definition(items)

    def definition(self, items: _Items) -> None:
        """`name parameters = body [where definitions]`; with a wrong body the name is defined all the same."""
        name = self.advance()
        parameters = self.parameters()
        body: Expr = Wrong(self.span(name))
        try:
            if not self.is_("="):
                self.no_equals(name)
            self.advance()
            body = self.body()
        finally:
            items.definitions.append(Definition(name.text, parameters, body, self.span(name)))

    def no_equals(self, name: Token) -> NoReturn:
        if self.ended():
            self.fail(f"the definition of `{name.text}` has no `=`", self.span(name), f"write `{name.text} = …`")
        hint = "parameters are plain names, as in `web n = is_tcp .&&. has_port n`"
        self.fail(f"{named(self.token)} stands where a parameter or `=` is expected", None, hint)

    def body(self) -> Expr:
        start = self.token.start
        body = self.expression()
        if self.is_("where"):
            self.advance()
            definitions = self.definitions()
            body = Let(definitions, body, self.since(start))
        if not self.ended():
            message, hint = unexpected(self.token)
            self.fail(message, None, hint)
        return body

    def signature(self, items: _Items) -> None:
        names = [self.advance()]
        while self.is_(","):
            self.advance()
            names.append(self.advance())
        if not self.is_("::"):
            self.fail("a signature is written `name :: Type`")
        self.advance()
        words = []
        while not self.ended():
            words.append(self.advance())
        span = self.since(words[0].start) if words else self.span(self.before())
        if not words:
            self.report("a type is missing after `::`", span)
        kind = typeparser.parse(words, self.source, self.faults) if words else ERROR
        items.signatures += [(name.text, self.span(name), Signature(kind, span)) for name in names]

    def joined(self, items: _Items) -> tuple[Definition, ...]:
        """Gives each definition its signature; every name may be defined once."""
        found: dict[str, Definition] = {}
        for definition in items.definitions:
            if (first := found.setdefault(definition.name, definition)) is not definition:
                self.twice(definition.name, definition.span, first.span, "defined")
        for name, span, signature in items.signatures:
            if name not in found:
                hint = did_you_mean(name, found)
                self.faults.add(UnknownNameError(f"there is a signature of `{name}` but no definition", span, hint))
            elif (before := found[name].signature) is not None:
                self.twice(name, signature.span, before.span, "declared")
            else:
                found[name] = replace(found[name], signature=signature)
        return tuple(found.values())

    def twice(self, name: str, span: Span, first: Span, what: str) -> None:
        fault = DuplicateNameError(f"`{name}` is {what} twice", span, None, [(first, "the first time")])
        self.faults.add(fault)

    def with_main(self, definitions: tuple[Definition, ...]) -> tuple[Definition, ...]:
        """The definitions and, as `main`, the expression that stands alone."""
        if not self.expressions:
            return definitions
        first = self.expressions[0]
        head = first
        while isinstance(head, Apply | Infix):
            head = head.function if isinstance(head, Apply) else head.first
        if isinstance(head, Name) and head.full == "main":
            self.faults.add(ParseError("`=` is missing after `main`", head.span, "write `main = …`"))
            first = Wrong(first.span)
        elif any(definition.name == "main" for definition in definitions):
            hint = "indent it when it continues the line before; write `name = …` when it is a definition"
            self.faults.add(MainError("this is no part of a definition", first.span, hint))
            return definitions
        for other in self.expressions[1:]:
            hint = "join them with `>->`, or make them the steps of `main = do`"
            notes = [(first.span, "the first one")]
            self.faults.add(MainError("there are several expressions but no `main`", other.span, hint, notes))
        return *definitions, Definition("main", (), first, first.span)

    def import_(self) -> None:
        """`import [qualified] Module [qualified] [as Alias] [[hiding] (names)]`"""
        self.advance()
        qualified = self.word("qualified")
        module = self.token
        if module.kind is not Kind.CONSTRUCTOR:
            hint = "module names begin with a capital letter: `import Lib.Filter` reads Lib/Filter.pfq"
            message = "`import` names no module" if self.ended() else f"{named(module)} is not the name of a module"
            self.faults.add(ImportFailedError(message, self.here(), hint))
            raise Skip
        self.advance()
        qualified = self.word("qualified") or qualified
        alias = self.advance().text if self.word("as") else None
        hiding = self.word("hiding")
        names = self.names() if self.is_("(") else None
        found = Import(module.text, self.span(module), alias, qualified)
        self.imports.append(replace(found, hiding=names or frozenset()) if hiding else replace(found, only=names))

    def word(self, text: str) -> bool:
        """Passes a word that is special in imports only."""
        if self.is_(text):
            self.advance()
            return True
        return False

    def names(self) -> frozenset[str]:
        """`(name, name, …)`; operators and constructors in it are passed over."""
        found: set[str] = set()
        depth = 0
        while not self.ended():
            token = self.advance()
            if token.kind is Kind.NAME:
                found.add(token.text)
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0:
                break
        return frozenset(found)
