"""From words to the tree: blocks, definitions and expressions (operators by precedence climbing).

Every error is reported and parsing goes on: a missing word is taken as read, anything worse spoils
only the item of the block it stands in.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import NoReturn

from pfq.lang import fixes
from pfq.lang.faults import Faults
from pfq.lang.lexer import Kind, Token
from pfq.lang.limits import MAX_ARGUMENTS, MAX_NESTING
from pfq.lang.operators import APPLY_POWER, FOREIGN, FOREIGN_ON_NUMBERS, FUNCTION_POWER, OPERATORS, Operator
from pfq.lang.program import Prefix
from pfq.lang.syntax import (
    Address,
    Apply,
    Bindings,
    Do,
    Expr,
    If,
    Infix,
    Lambda,
    Let,
    ListOf,
    Name,
    Number,
    PrefixOf,
    Text,
    Wrong,
)
from pfq.lang.words import Skip, Words
from pfq.source import Source, Span

_NOT_INFIX = frozenset({"=", "\\", "::", "<-", "..", "@"})
_ATOMS = frozenset({Kind.NAME, Kind.CONSTRUCTOR, Kind.NUMBER, Kind.TEXT, Kind.ADDRESS, Kind.WRONG})


class Expressions(Words):
    """Parses expressions. `Files` adds what stands around them."""

    def __init__(self, source: Source, tokens: list[Token], faults: Faults) -> None:
        super().__init__(source, tokens, faults)
        self.depth = 0
        self.empty_do = False

    def definitions(self) -> Bindings:
        """The definitions of a `let` or `where` block, from its OPEN to its CLOSE."""
        raise NotImplementedError

    def block(self, item: Callable[[], None]) -> None:
        """Parses the items of a block; an item that cannot be understood is skipped."""
        self.advance()
        while self.token.kind not in (Kind.CLOSE, Kind.END):
            if self.token.kind is Kind.NEXT:
                self.advance()
                continue
            try:
                item()
                if not self.ended():
                    message, hint = fixes.unexpected(self.token)
                    self.fail(message, None, hint)
            except Skip:
                self.skip_item()
        if self.token.kind is Kind.CLOSE:
            self.advance()

    def skip_item(self) -> None:
        depth = 0
        while self.token.kind is not Kind.END:
            if depth == 0 and self.ended():
                return
            depth += (self.token.kind is Kind.OPEN) - (self.token.kind is Kind.CLOSE)
            self.advance()

    def expression(self, floor: int = 0) -> Expr:
        """An expression of operators that bind more tightly than `floor`."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.too_deep()
        start = self.token.start
        left = self.operand()
        joined = 0
        while (operator := self.operator(left)) and operator.power > floor:
            left = self.infix(left, operator, start)
            joined += 1
            if joined > MAX_NESTING:
                self.too_deep()
        self.depth -= 1
        return left

    def too_deep(self) -> NoReturn:
        hint = "give inner parts a name of their own"
        self.faults.stop(f"expressions are nested more than {MAX_NESTING} deep", self.span(self.token), hint)

    def operator(self, left: Expr) -> Operator | None:
        """The infix operator that comes next, without passing it."""
        token = self.token
        if token.kind is not Kind.OPERATOR or token.text in _NOT_INFIX:
            return None
        if token.text in OPERATORS:
            return OPERATORS[token.text]
        if token.text == "`":
            return self.backticked()
        plain = FOREIGN.get(token.text)
        if plain is not None and isinstance(left, Number):
            mirrored = f"{plain[1:]}."
            plain = mirrored if mirrored in OPERATORS else FOREIGN_ON_NUMBERS.get(token.text)
        if plain is None:
            message, hint = fixes.unknown_operator(token)
            self.fail(message, None, hint)
        self.report(f"`{token.text}` is not an operator of pfq-lang", None, f"write `{plain}`")
        return OPERATORS[plain]

    def backticked(self) -> Operator:
        name = self.tokens[self.at + 1]
        if name.kind is not Kind.NAME or self.tokens[min(self.at + 2, len(self.tokens) - 1)].text != "`":
            self.fail("backticks stand around one name, as in `ip_ttl `any_bit` 3`", self.span(self.token))
        return OPERATORS.get(name.text) or Operator(name.text, FUNCTION_POWER)

    def infix(self, left: Expr, operator: Operator, start: int) -> Expr:
        """Everything joined by operators of one precedence to `left`, which begins at `start`."""
        if operator.power == APPLY_POWER:
            self.advance()
            at = self.token.start
            right = self.expression()
            place = self.since(at)
            if isinstance(left, Apply):
                return Apply(left.function, (*left.arguments, right), self.since(start), (*left.places, place))
            return Apply(left, (right,), self.since(start), (place,))
        if self.is_("`"):
            place = self.since(start)
            self.advance()
            name = self.name(self.advance())
            self.advance()
            at = self.token.start
            right = self.expression(operator.power)
            return Apply(name, (left, right), self.since(start), (place, self.since(at)))
        rest: list[tuple[Name, Expr]] = []
        following: Operator | None = operator
        while following and following.power == operator.power and not self.is_("`"):
            if rest and not operator.chains:
                hint = "compare twice: `(1 <. ip_ttl) .&&. (ip_ttl .< 9)`"
                self.report("comparisons cannot be chained", self.span(self.token), hint)
            name = Name(following.text, self.span(self.advance()))
            rest.append((name, self.expression(operator.power)))
            following = self.operator(rest[-1][1])
        return Infix(left, tuple(rest), self.since(start))

    def operand(self) -> Expr:
        token = self.token
        if token.kind is Kind.KEYWORD and token.text in ("if", "do", "let"):
            return {"if": self.condition, "do": self.do, "let": self.let}[token.text]()
        if token.text == "\\" and token.kind is Kind.OPERATOR:
            return self.function()
        if self.negative():
            return self.number()
        return self.application()

    def application(self) -> Expr:
        start = self.token.start
        function = self.atom()
        arguments: list[Expr] = []
        places: list[Span] = []
        while True:
            token = self.token
            if token.kind in _ATOMS or (token.text in ("(", "[") and token.kind is Kind.BRACKET):
                arguments.append(self.atom())
            elif not isinstance(function, Number) and self.negative() and self.before().end < token.start:
                arguments.append(self.number())
            elif (token.text in ("do", "if") and token.kind is Kind.KEYWORD) or token.text == "\\":
                arguments.append(self.operand())
            else:
                break
            places.append(self.since(token.start))
            if len(arguments) > MAX_ARGUMENTS:
                self.faults.stop(f"a function is given more than {MAX_ARGUMENTS} arguments", arguments[-1].span)
        return Apply(function, tuple(arguments), self.since(start), tuple(places)) if arguments else function

    def negative(self) -> bool:
        """A minus sign that touches the number behind it."""
        if self.token.text != "-" or self.token.kind is not Kind.OPERATOR:
            return False
        number = self.tokens[self.at + 1]
        return number.kind is Kind.NUMBER and number.start == self.token.end

    def number(self) -> Number:
        minus, number = self.advance(), self.advance()
        assert isinstance(number.value, int)
        return Number(-number.value, Span(self.source, minus.start, number.end))

    def atom(self) -> Expr:
        token = self.token
        span = self.span(token)
        match token.kind, token.value:
            case Kind.NAME, _:
                if token.text in fixes.UNSUPPORTED:
                    self.fail(f"pfq-lang has no `{token.text}`", None, fixes.UNSUPPORTED[token.text])
                self.advance()
                return self.name(token)
            case Kind.CONSTRUCTOR, _:
                self.advance()
                return self.prefix(token) if token.text == "CIDR" and self.is_("(") else self.name(token)
            case Kind.NUMBER, int(value):
                self.advance()
                return Number(value, span)
            case Kind.TEXT, str(text):
                self.advance()
                return Text(text, span)
            case Kind.ADDRESS, IPv4Address() | Prefix() as address:
                self.advance()
                return Address(address, span)
            case Kind.WRONG, _:
                self.advance()
                return Wrong(span)
        if token.kind is Kind.BRACKET and token.text in "([":
            return self.parenthesised() if token.text == "(" else self.list_of()
        first = not self.tokens[self.at - 1].text
        message, hint, place = fixes.missing_operand(token, self.before(), first=first)
        self.report(message, self.span(place), hint)
        return Wrong(self.here())

    def parenthesised(self) -> Expr:
        opening = self.advance()
        if self.is_(")"):
            self.advance()
            self.report("`()` is nothing", self.since(opening.start), "the action that does nothing is `unit`")
            return Wrong(self.since(opening.start))
        inner = self.expression()
        if self.is_(","):
            hint = "arguments stand side by side, as in `when is_tcp drop`; lists are written `[a, b]`"
            self.fail("a pair stands only in `CIDR (address, length)`", None, hint)
        return inner if self.close(opening, ")") else Wrong(self.since(opening.start), inner)

    def list_of(self) -> Expr:
        opening = self.advance()
        items: list[Expr] = []
        while not self.is_("]"):
            items.append(self.expression())
            if not self.is_(","):
                break
            self.advance()
        closed = self.close(opening, "]")
        found = ListOf(tuple(items), self.since(opening.start))
        return found if closed else Wrong(found.span, found)

    def prefix(self, constructor: Token) -> Expr:
        opening = self.advance()
        address = self.expression()
        if not self.is_(","):
            self.fail("`CIDR` needs an address and a length", self.span(constructor), 'write `CIDR ("10.0.0.0", 8)`')
        self.advance()
        length = self.expression()
        self.close(opening, ")")
        return PrefixOf(address, length, self.since(constructor.start))

    def close(self, opening: Token, bracket: str) -> bool:
        """Passes a closing bracket; False when it is missing at the end of the item, which is reported."""
        if self.is_(bracket):
            self.advance()
            return True
        if self.ended():
            self.report(f"this `{opening.text}` is never closed", self.span(opening), f"close it with `{bracket}`")
            return False
        if self.token.text in ("=", ".."):
            message, hint = fixes.unexpected(self.token)
            self.fail(message, None, hint)
        note = (self.span(opening), f"this `{opening.text}` is still open")
        self.report(f"`{bracket}` or an operator is missing before {fixes.named(self.token)}", None, None, note)
        raise Skip

    def condition(self) -> Expr:
        word = self.advance()
        test = self.expression()
        if not self.then_follows(word):
            return Wrong(self.since(word.start), test)
        then = self.expression()
        if not self.is_("else"):
            hint = "write `else unit` to do nothing otherwise"
            self.report("this `if` has no `else`", self.span(word), hint)
            return If(test, then, Wrong(then.span), self.since(word.start))
        self.advance()
        return If(test, then, self.expression(), self.since(word.start))

    def then_follows(self, opening: Token) -> bool:
        """Passes `then`; without it the condition swallowed what follows, so the rest is passed over."""
        if self.is_("then"):
            self.advance()
            return True
        self.report("this `if` has no `then`", self.span(opening), "write `if … then … else …`")
        if self.is_("else"):
            self.advance()
            self.expression()
        return False

    def function(self) -> Expr:
        word = self.advance()
        parameters = self.parameters()
        if not parameters or not self.is_("->"):
            what = "`->`" if parameters else "parameter"
            self.fail(f"this function has no {what}", self.span(word), r"write `\name -> …`")
        self.advance()
        return Lambda(parameters, self.expression(), self.since(word.start))

    def parameters(self) -> tuple[Name, ...]:
        found: list[Name] = []
        while self.token.kind is Kind.NAME:
            found.append(self.name(self.advance()))
            if len(found) > MAX_ARGUMENTS:
                self.faults.stop(f"a function has more than {MAX_ARGUMENTS} parameters", found[-1].span)
        return tuple(found)

    def let(self) -> Expr:
        word = self.advance()
        definitions = self.definitions()
        if not self.is_("in"):
            hint = "write `let … in …`; without `in` it can stand in a `do` block only"
            self.report("this `let` has no `in`", self.span(word), hint)
            return Wrong(self.span(word))
        self.advance()
        return Let(definitions, self.expression(), self.since(word.start))

    def do(self) -> Expr:
        word = self.advance()
        steps: list[Expr | Bindings] = []
        spoilt = self.reported_at
        self.block(lambda: steps.append(self.step()))
        span = self.since(word.start)
        if not any(isinstance(step, Expr) for step in steps):
            if self.reported_at == spoilt:
                self.report("this `do` block has no steps", self.span(word), "indent its steps")
            self.empty_do = True
            return Wrong(span)
        if sum(isinstance(step, Bindings) for step in steps) > MAX_NESTING:
            hint = "put several definitions under one `let`"
            self.faults.stop(f"a `do` block has more than {MAX_NESTING} times `let`", self.span(word), hint)
        if isinstance(steps[-1], Bindings):
            self.report("a `do` block cannot end with `let`", span, "add the step that uses the definitions")
        return _steps(steps, span)

    def step(self) -> Expr | Bindings:
        """A step of a `do` block: an action, or definitions for the steps after it."""
        if self.tokens[self.at + 1].text == "<-":
            self.advance()
            message, hint = fixes.unexpected(self.token)
            self.fail(message, None, hint)
        if not self.is_("let"):
            return self.expression()
        start = self.advance().start
        definitions = self.definitions()
        if not self.is_("in"):
            return definitions
        self.advance()
        return Let(definitions, self.expression(), self.since(start))


def _steps(steps: list[Expr | Bindings], span: Span) -> Expr:
    """Turns `let` steps into a Let around the steps that follow."""
    following: list[Expr] = []
    for step in reversed(steps):
        if isinstance(step, Bindings):
            following = [Let(step, Do(tuple(reversed(following)), span), span)]
        else:
            following.append(step)
    return Do(tuple(reversed(following)), span)
