"""Rows that several families build alike: a predicate, the filter that passes what it accepts, both sides."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from pfq.lang.prims.emitter import Code, Emitter, Side
from pfq.lang.prims.table import Prim

Check = Callable[..., str | None]


def predicate(
    name: str,
    argument: str,
    what: str,
    run: Callable[..., bool],
    lower: Callable[..., Code],
    example: str = "",
    *,
    check: Check | None = None,
    aliases: tuple[str, ...] = (),
) -> Prim:
    """The row of a predicate.

    argument  type of the one argument, or "" for none
    what      completes "True when the packet …"
    example   the argument in the example
    """
    condition = f"({name} {example})" if example else name
    return Prim(
        name=name,
        type=f"{argument} -> Packet -> Bool" if argument else "Packet -> Bool",
        doc=f"True when the packet {what}.",
        run=run,
        lower=lower,
        example=f"when {condition} kernel",
        family="predicate",
        check=check,
        aliases=aliases,
    )


def passing(
    name: str,
    argument: str,
    what: str,
    run: Callable[..., bool],
    lower: Callable[..., Code],
    example: str = "",
    *,
    check: Check | None = None,
    aliases: tuple[str, ...] = (),
) -> Prim:
    """The row of the filter that passes exactly what a predicate accepts, whose meanings are given.

    what  completes "Passes the packet when it …"
    """

    def drop_others(e: Emitter, *args: Any) -> None:
        e.branch(lower(e, *args), lambda: None, e.drop)

    return Prim(
        name=name,
        type=f"{argument} -> Packet -> Action Packet" if argument else "Packet -> Action Packet",
        doc=f"Passes the packet when it {what}, drops it otherwise.",
        run=run,
        lower=drop_others,
        example=f"{name}{f' {example}' if example else ''} >-> steer_flow",
        family="filter",
        check=check,
        aliases=aliases,
    )


def pair(
    predicate_name: str,
    filter_name: str,
    argument: str,
    what: str,
    run: Callable[..., bool],
    lower: Callable[..., Code],
    example: str = "",
    *,
    check: Check | None = None,
) -> tuple[Prim, Prim]:
    """The rows of a predicate and of its filter."""
    return (
        predicate(predicate_name, argument, what, run, lower, example, check=check),
        passing(filter_name, argument, what, run, lower, example, check=check),
    )


def any_side(e: Emitter, sides: tuple[Side, ...], test: Callable[[Side], Code]) -> Code:
    """The test holds for one of the sides."""
    first, *others = map(test, sides)
    return reduce(e.either, others, first)


def lazily_any_side(e: Emitter, sides: tuple[Side, ...], test: Callable[[Side], Code]) -> Code:
    """The same for a test that costs much: the second side is tested when it does not hold for the first."""
    first, *others = sides
    if not others:
        return test(first)
    return e.lazily(test(first), lambda: e.truth(True), lambda: lazily_any_side(e, tuple(others), test))


def sided(
    noun: str, argument: str, what: str, run: Callable[..., bool], lower: Callable[..., Code], example: str
) -> tuple[Prim, ...]:
    """Predicate and filter for the sides that the program looks at, for the source and for the destination.

    what        has `{}` in place of the side
    run, lower  take the argument, then the sides
    """

    def fixed(side: Side, word: str) -> tuple[Prim, Prim]:
        return pair(
            f"has_{side}_{noun}",
            f"{side}_{noun}",
            argument,
            what.format(word),
            lambda m, value: run(m, value, side),
            lambda e, value: lower(e, value, side),
            example,
        )

    return (
        *pair(
            f"has_{noun}",
            noun,
            argument,
            what.format("source or destination"),
            lambda m, value: run(m, value, *m.sides),
            lambda e, value: lower(e, value, *e.sides),
            example,
        ),
        *fixed("src", "source"),
        *fixed("dst", "destination"),
    )
