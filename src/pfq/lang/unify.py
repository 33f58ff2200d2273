"""Makes two types equal, by finding out what the unknown ones are."""

from __future__ import annotations

from typing import Final

from pfq.errors import TooBigError
from pfq.lang.limits import MAX_TYPE_DEPTH, MAX_TYPE_STEPS
from pfq.lang.types import ERROR, NUMBERS, Con, Fun, List, Type, Var, pruned

GENERIC: Final = 1 << 30
"""Level of the variables of a definition's type that stand for any type, anew at each use."""


class Unifier:
    """Unifies types; counts its steps, because types can grow exponentially in the program."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, depth: int) -> None:
        self.steps += 1
        if self.steps > MAX_TYPE_STEPS or depth > MAX_TYPE_DEPTH:
            raise TooBigError("the types of this program are too large", None, "give types to its functions")

    def unify(self, a: Type, b: Type, depth: int = 0) -> bool:
        """Whether the two types can be equal; if so, they are from now on. ERROR equals everything."""
        self.step(depth)
        a, b = pruned(a), pruned(b)
        if a is b or ERROR in (a, b):
            return True
        if isinstance(a, Var):
            return self.bind(a, b, depth)
        if isinstance(b, Var):
            return self.bind(b, a, depth)
        match a, b:
            case Con(name), Con(other):
                # One number may serve parameters of several number types; each checks its own range.
                return name == other or {name, other} <= NUMBERS
            case List(item), List(other_item):
                return self.unify(item, other_item, depth + 1)
            case Fun(parameter, result), Fun(other_parameter, other_result):
                return self.unify(parameter, other_parameter, depth + 1) and self.unify(result, other_result, depth + 1)
        return False

    def bind(self, var: Var, kind: Type, depth: int) -> bool:
        if isinstance(kind, Var):
            allowed = _both(var.allowed, kind.allowed)
            if allowed is not None and not allowed:
                return False
            kind.allowed = allowed
            kind.level = min(kind.level, var.level)
        elif not _allows(var, kind) or not self.lower(kind, var, depth):
            return False
        var.link = kind
        return True

    def lower(self, kind: Type, var: Var, depth: int) -> bool:
        """Lowers the level of all variables in a type to that of `var`; False when `var` is one of them."""
        self.step(depth)
        kind = pruned(kind)
        match kind:
            case Var():
                kind.level = min(kind.level, var.level)
                return kind is not var
            case List(item):
                return self.lower(item, var, depth + 1)
            case Fun(parameter, result):
                return self.lower(parameter, var, depth + 1) and self.lower(result, var, depth + 1)
        return True

    def generalise(self, kind: Type, level: int, depth: int = 0) -> None:
        """Makes the variables that arose inside a definition stand for any type."""
        self.step(depth)
        kind = pruned(kind)
        match kind:
            case Var():
                if kind.level > level:
                    kind.level = GENERIC
            case List(item):
                self.generalise(item, level, depth + 1)
            case Fun(parameter, result):
                self.generalise(parameter, level, depth + 1)
                self.generalise(result, level, depth + 1)

    def fresh(self, kind: Type, level: int) -> Type:
        """The type with new variables for those that stand for any type."""
        return self.copied(kind, level, {}, 0)

    def copied(self, kind: Type, level: int, made: dict[Var, Var], depth: int) -> Type:
        self.step(depth)
        kind = pruned(kind)
        match kind:
            case Var():
                if kind.level != GENERIC:
                    return kind
                return made.setdefault(kind, Var(level, kind.allowed))
            case List(item):
                return List(self.copied(item, level, made, depth + 1))
            case Fun(parameter, result):
                return Fun(self.copied(parameter, level, made, depth + 1), self.copied(result, level, made, depth + 1))
        return kind


def generic(kind: Type, variables: dict[str, Var] | None = None) -> Type:
    """A written type, its lower-case names standing for any type."""
    variables = {} if variables is None else variables
    match kind:
        case Con(name) if name[0].islower():
            return variables.setdefault(name, Var(GENERIC))
        case List(item):
            return List(generic(item, variables))
        case Fun(parameter, result):
            return Fun(generic(parameter, variables), generic(result, variables))
    return kind


def _allows(var: Var, kind: Type) -> bool:
    return var.allowed is None or (isinstance(kind, Con) and kind.name in var.allowed)


def _both(a: frozenset[str] | None, b: frozenset[str] | None) -> frozenset[str] | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b
