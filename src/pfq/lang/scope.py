"""What names mean at a place in the text: frames of names inside one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Scope(Generic[T]):
    """Names of one block and, behind it, of those around it."""

    __slots__ = ("names", "outer")

    def __init__(self, names: dict[str, T], outer: Scope[T] | None = None) -> None:
        self.names = names
        self.outer = outer

    def get(self, name: str) -> T | None:
        scope: Scope[T] | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def inner(self, names: dict[str, T]) -> Scope[T]:
        return Scope(names, self)

    def all_names(self) -> Iterator[str]:
        scope: Scope[T] | None = self
        while scope is not None:
            yield from scope.names
            scope = scope.outer
