"""Type inference and checking: every definition gets a type, every mistake one message.

Constants are not looked at here; `evaluate` checks that they fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from pfq.errors import (
    DuplicateNameError,
    MainError,
    ProgramError,
    RecursiveDefinitionError,
    TooBigError,
    UnknownNameError,
)
from pfq.lang import hints
from pfq.lang.constants import CONSTANTS
from pfq.lang.faults import Faults
from pfq.lang.modules import Module, library_names
from pfq.lang.operators import ARITHMETIC, COMPARE_POWER, COMPOSE_POWER, OPERATORS, Operator
from pfq.lang.prims.table import Table
from pfq.lang.program import Prefix
from pfq.lang.scope import Scope
from pfq.lang.syntax import (
    Address,
    Apply,
    Bindings,
    Cycle,
    Definition,
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
    free_names,
)
from pfq.lang.typeparser import type_of
from pfq.lang.types import (
    ACTION,
    ADDRESSES,
    BOOL,
    CIDR,
    ERROR,
    IPV4,
    NUMBERS,
    PREDICATE,
    PROPERTY,
    TEXTS,
    WORD64,
    Con,
    Fun,
    List,
    Type,
    Var,
    parameters,
    pruned,
)
from pfq.lang.unify import Unifier, generic
from pfq.source import Span

Types = Scope[Type]
"""Types of the names in scope. Variables of level GENERIC stand for any type."""


def infer_module(module: Module, known: dict[Module, dict[str, Type]], table: Table, faults: Faults) -> dict[str, Type]:
    """Checks a module after those that it imports; the types of its definitions by name."""
    checker = _Checker(module, table, faults)
    imported: Types = Scope(module.imported(lambda other: known[other]))
    return checker.definitions(module.file.definitions, imported, top=True).names


@cache
def _table_type(text: str) -> Type:
    return generic(type_of(text))


class _Checker(Unifier):
    def __init__(self, module: Module, table: Table, faults: Faults) -> None:
        super().__init__()
        self.module = module
        self.table = table
        self.faults = faults
        self.level = 0
        self.imports_failed = any(found is None for _, found in module.imports)

    # definitions

    def definitions(self, definitions: Bindings, scope: Types, *, top: bool = False) -> Types:
        """The scope inside which these definitions are known."""
        inner = scope.inner({})
        for cycle in definitions.cycles:
            self.recursion(cycle)
            inner.names.update((definition.name, ERROR) for definition, _ in cycle)
        for definition in definitions.order:
            signature = definition.signature
            if signature and definition.name not in inner.names:
                inner.names[definition.name] = generic(signature.type)
            try:
                found = self.definition(definition, inner, ACTION if top and definition.name == "main" else None)
            except TooBigError as fault:
                self.faults.stop(fault.message, definition.span, fault.hint)
            inner.names.setdefault(definition.name, found)
        return inner

    def recursion(self, cycle: Cycle) -> None:
        (first, use), *others = cycle
        names = [definition.name for definition, _ in cycle] + [first.name]
        shown = names if len(names) <= 8 else [*names[:4], "…", *names[-3:]]
        path = " → ".join(shown)
        message = f"`{first.name}` needs itself" + (f": {path}" if others else "")
        hint = "programs have no recursion, so that every program ends"
        self.faults.add(RecursiveDefinitionError(message, use.span, hint))

    def definition(self, definition: Definition, scope: Types, want: Type | None) -> Type:
        """The type of a definition, with its variables generalised."""
        self.level += 1
        kind: Type
        if definition.signature:
            kind = definition.signature.type
            if want and not self.unify(kind, want):
                self.main_has_wrong_type(definition, kind)
            slot = f"`{definition.name}`"
            if not self.function(definition.parameters, definition.body, kind, scope, slot):
                scope.names[definition.name] = ERROR
        elif want and not definition.parameters:
            kind = want
            self.check(definition.body, want, f"`{definition.name}`", scope)
        else:
            kind = self.lambda_type(definition.parameters, definition.body, scope)
            if want:
                self.main_has_wrong_type(definition, kind)
        self.level -= 1
        self.generalise(kind, self.level)
        return kind

    def main_has_wrong_type(self, definition: Definition, kind: Type) -> None:
        if definition.parameters:
            span = definition.parameters[0].span.to(definition.parameters[-1].span)
            self.faults.add(MainError("`main` takes no parameters", span, "write `main = …`"))
        elif definition.signature:
            self.faults.add(hints.mismatch(definition.body, kind, ACTION, "`main`", self.table))

    def with_parameters(self, names: Sequence[Name], kinds: Sequence[Type], scope: Types) -> Types:
        found: dict[str, Type] = {}
        for name, kind in zip(names, kinds, strict=True):
            if name.name in found and name.name != "_":
                first = next(other for other in names if other.name == name.name)
                notes = [(first.span, "the first time")]
                fault = DuplicateNameError(f"`{name.name}` is a parameter twice", name.span, None, notes)
                self.faults.add(fault)
            found[name.name] = kind
        return scope.inner(found)

    def lambda_type(self, names: Sequence[Name], body: Expr, scope: Types) -> Type:
        kinds = [self.var() for _ in names]
        result = self.infer(body, self.with_parameters(names, kinds, scope))
        for kind in reversed(kinds):
            result = Fun(kind, result)
        return result

    def function(self, names: Sequence[Name], body: Expr, want: Type, scope: Types, slot: str) -> bool:
        """Checks a function of named parameters against a known type, as `check` does."""
        kinds, _ = parameters(want)
        if len(names) > len(kinds) and pruned(parameters(want)[1]) != ERROR:
            self.faults.add(hints.too_many_parameters(names, kinds, slot))
            kinds = [*kinds, *[ERROR] * (len(names) - len(kinds))]
            self.infer(body, self.with_parameters(names, kinds, scope))
            return False
        kinds += [ERROR] * (len(names) - len(kinds))
        result = want
        for _ in names:
            result = pruned(result)
            result = result.result if isinstance(result, Fun) else ERROR
        return self.check(body, result, slot, self.with_parameters(names, kinds[: len(names)], scope))

    # expressions

    def var(self, allowed: frozenset[str] | None = None) -> Var:
        return Var(self.level, allowed)

    def infer(self, expr: Expr, scope: Types) -> Type:
        """The type of an expression; mistakes inside are reported and give ERROR."""
        match expr:
            case Name():
                return self.name(expr, scope, None)
            case Number():
                return self.var(NUMBERS)
            case Text():
                return self.var(TEXTS)
            case Address(value):
                return CIDR if isinstance(value, Prefix) else self.var(ADDRESSES)
            case PrefixOf(address, length):
                self.check(address, IPV4, "the address of `CIDR`", scope)
                self.check(length, self.var(NUMBERS), "the length of `CIDR`", scope)
                return CIDR
            case ListOf(items):
                kind = self.var()
                self.items(items, kind, scope)
                return List(kind)
            case Apply():
                return self.apply(expr, scope)
            case Infix():
                return self.infix(expr, scope)
            case If(_, then):
                found = self.infer(then, scope)
                self.choice(expr, found, scope)
                return found
            case Do(steps):
                for step in steps:
                    self.check(step, ACTION, "a step of `do`", scope)
                return ACTION
            case Lambda(names, body):
                return self.lambda_type(names, body, scope)
            case Let(definitions, body):
                return self.infer(body, self.definitions(definitions, scope))
            case Wrong(_, inside):
                for name in free_names(inside) if inside else ():
                    self.name(name, scope, None)
                return ERROR

    def check(self, expr: Expr, want: Type, slot: str, scope: Types) -> bool:
        """Checks that an expression has the type that its place, `slot`, wants.

        False when it has another one. Mistakes inside it are reported and do not count.
        """
        want = pruned(want)
        match expr, want:
            case Name(), _:
                return self.fit(expr, self.name(expr, scope, want), want, slot)
            case Lambda(names, body), Fun() if len(parameters(want)[0]) >= len(names):
                return self.function(names, body, want, scope, slot)
            case Let(definitions, body), _:
                return self.check(body, want, slot, self.definitions(definitions, scope))
            case ListOf(items), List(item):
                self.items(items, item, scope)
                return True
            case If(_, then), _:
                self.check(then, want, "what follows `then`", scope)
                self.choice(expr, want, scope)
                return True
            case _:
                return self.fit(expr, self.infer(expr, scope), want, slot)

    def fit(self, expr: Expr, found: Type, want: Type, slot: str) -> bool:
        fits = self.unify(found, want)
        if not fits:
            self.faults.add(hints.mismatch(expr, pruned(found), pruned(want), slot, self.table))
        return fits

    def items(self, items: Sequence[Expr], kind: Type, scope: Types) -> None:
        for item in items:
            self.check(item, kind, "an item of the list", scope)

    def choice(self, expr: If, kind: Type, scope: Types) -> None:
        """Checks an `if` whose `then` is known to have this type."""
        for prim in ("conditional", "and", "or", "not"):
            self.require(prim, expr.span)
        condition = self.infer(expr.condition, scope)
        if pruned(condition) != BOOL:
            self.fit(expr.condition, condition, PREDICATE, "the condition of `if`")
        self.check(expr.other, kind, "what follows `else`", scope)

    def infix(self, expr: Infix, scope: Types) -> Type:
        operator = OPERATORS[expr.rest[0][0].name]
        if operator.prim is not None:
            self.require(operator.prim, expr.rest[0][0].span)
        if operator.power == COMPARE_POWER:
            self.comparison(expr, operator, scope)
            return PREDICATE
        kind: Type = self.var(NUMBERS)
        if operator.text not in ARITHMETIC:
            kind = ACTION if operator.power == COMPOSE_POWER else PREDICATE
        operands = [expr.first, *(operand for _, operand in expr.rest)]
        found = [pruned(self.infer(operand, scope)) for operand in operands]
        if kind == PREDICATE and found[0] == ACTION:
            last = self.infer(expr.first.arguments[-1], scope) if isinstance(expr.first, Apply) else ERROR
            if (fault := hints.action_joined(expr, found, last)) is not None:
                self.faults.add(fault)
                return ERROR
        self.fit(expr.first, found[0], kind, f"what stands before `{operator.text}`")
        for (name, operand), each in zip(expr.rest, found[1:], strict=True):
            self.fit(operand, each, kind, f"what follows `{name.name}`")
        return kind

    def comparison(self, expr: Infix, operator: Operator, scope: Types) -> None:
        """A comparison; more than one in a row were reported, so only the first counts."""
        name, right = expr.rest[0]
        wanted = (WORD64, PROPERTY) if operator.mirrored else (PROPERTY, WORD64)
        found = self.infer(expr.first, scope), self.infer(right, scope)
        if hints.is_swapped(pruned(found[0]), pruned(found[1]), wanted[0]):
            self.faults.add(hints.swapped_comparison(name, expr.first, right))
            return
        self.fit(expr.first, found[0], wanted[0], f"what stands before `{name.name}`")
        self.fit(right, found[1], wanted[1], f"what follows `{name.name}`")

    def apply(self, expr: Apply, scope: Types) -> Type:
        """Checks the arguments of an application one by one; its type."""
        whole = kind = self.infer(expr.function, scope)
        # what could not be read, or a bracket that was not closed, changes the number of arguments
        spoilt = any(isinstance(argument, Wrong) for argument in expr.arguments)
        for index, argument in enumerate(expr.arguments):
            kind = self.applied(kind)
            if (fault := self.misplaced(expr, index, kind, whole, scope)) is not None:
                if not spoilt:
                    self.faults.add(fault)
                self.only_inside(expr.arguments[index:], scope)
                return parameters(kind)[1]
            if not isinstance(kind, Fun):
                self.only_inside(expr.arguments[index:], scope)
                return ERROR
            self.check(argument, kind.parameter, hints.argument_slot(expr, index, whole), scope)
            kind = kind.result
        return parameters(kind)[1] if spoilt else kind

    def applied(self, kind: Type) -> Type:
        """The type of something that is applied to an argument: a function, if it can be one."""
        kind = pruned(kind)
        if not isinstance(kind, Var):
            return kind
        made = Fun(Var(kind.level), Var(kind.level))
        return made if self.unify(kind, made) else kind

    def misplaced(self, expr: Apply, index: int, kind: Type, whole: Type, scope: Types) -> ProgramError | None:
        """What is wrong with having an argument number `index` at all; `kind` is what it is given to."""
        argument = expr.arguments[index]
        want = pruned(kind.parameter) if isinstance(kind, Fun) else None
        if not isinstance(want, Fun | Var):
            fault = hints.infix_word(expr, index, actions=kind == ACTION)
            if fault is not None:
                return fault
        if want is None:
            return None if kind == ERROR else hints.too_many_arguments(expr, index, whole)
        if not isinstance(argument, Name) or not isinstance(want, Con) or index + 1 == len(expr.arguments):
            return None
        found = scope.get(argument.full) or self.builtin(argument)
        kinds, final = parameters(found) if found is not None else ([], None)
        return hints.missing_brackets(expr, index, kinds) if kinds and final == want else None

    def only_inside(self, exprs: Sequence[Expr], scope: Types) -> None:
        """Reports what is wrong inside expressions that stand where nothing is known about their type."""
        for expr in exprs:
            self.infer(expr, scope)

    # names

    def name(self, name: Name, scope: Types, want: Type | None) -> Type:
        kind = scope.get(name.full) or self.builtin(name)
        if kind is None:
            self.unknown(name, scope, want)
            return ERROR
        return self.fresh(kind, self.level)

    def builtin(self, name: Name) -> Type | None:
        if name.qualifier and name.qualifier not in self.module.built_in:
            return None
        if name.name in CONSTANTS:
            return CONSTANTS[name.name][0]
        return _table_type(self.table[name.name].type) if name.name in self.table else None

    def require(self, prim: str, span: Span) -> None:
        """Reports that the table lacks the primitive that an operator stands for."""
        if prim not in self.table:
            self.faults.add(UnknownNameError(f"this needs the primitive `{prim}`, which the table does not have", span))

    def unknown(self, name: Name, scope: Types, want: Type | None) -> None:
        known = {*scope.all_names(), *self.table.names(), *CONSTANTS}
        module = library_names().get(name.full)
        hint = (
            f"`import {module}` brings it"
            if module
            else hints.for_unknown_name(name, known, want) or self.table.why_missing()
        )
        if hint is None and self.imports_failed:
            return
        message = f"unknown name `{name.full}`"
        if name.qualifier and name.qualifier not in self.qualifiers():
            message, hint = f"no module `{name.qualifier}` is imported", f"add `import {name.qualifier}`"
        self.faults.add(UnknownNameError(message, name.span, hint))

    def qualifiers(self) -> set[str]:
        return self.module.built_in.union(import_.alias or import_.module for import_, _ in self.module.imports)
