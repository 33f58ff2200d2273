"""The order of definitions, and the cycles among them."""

from __future__ import annotations

from pfq.lang.dependencies import ordered
from pfq.lang.faults import Faults
from pfq.lang.fileparser import parse
from pfq.lang.syntax import Bindings
from pfq.source import Source


def bindings(text: str) -> Bindings:
    faults = Faults()
    file = parse(Source("test", text), faults)
    faults.check()
    return ordered(sorted(file.definitions.order, key=lambda definition: definition.span.start))


def order(text: str) -> list[str]:
    found = bindings(text)
    assert found.cycles == ()
    return [definition.name for definition in found.order]


def cycles(text: str) -> list[list[str]]:
    return [[f"{definition.name}>{use.name}" for definition, use in cycle] for cycle in bindings(text).cycles]


def test_used_ones_first() -> None:
    assert order("a = b >-> c\nb = c\nc = ip\nd = a") == ["c", "b", "a", "d"]


def test_bound_names_are_no_uses() -> None:
    text = "a b = b\nb = \\a -> a\nc = let a = b in a\nd = f where f a = c\ne x = let x = 1 in x"
    assert order(text) == ["a", "b", "c", "d", "e"]


def test_cycles() -> None:
    assert cycles("a = a") == [["a>a"]]
    assert cycles("a = ip >-> b\nb = c\nc = when is_tcp a") == [["a>b", "b>c", "c>a"]]
    assert cycles("x = a\na = b\nb = a") == [["a>b", "b>a"]]
    assert cycles("f n = let g m = f m in g n") == [["f>f"]]


def test_long_chains() -> None:
    count = 5000
    text = "\n".join(f"a{i} = a{i + 1}" for i in range(count)) + f"\na{count} = ip"
    assert order(text) == [f"a{i}" for i in range(count, -1, -1)]
