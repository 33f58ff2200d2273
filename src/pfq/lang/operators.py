"""The infix operators: how tightly each binds, and which primitive it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Operator:
    """One infix operator.

    power     binds more tightly than operators of lower power
    prim      primitive that `a op b` calls; None for `>->`, `$` and arithmetic
    mirrored  the primitive takes the operands in the other order, the number first
    chains    `a op b op c` is allowed
    """

    text: str
    power: int
    prim: str | None = None
    mirrored: bool = False
    chains: bool = True


COMPOSE_POWER, COMPARE_POWER, FUNCTION_POWER, APPLY_POWER = 1, 5, 8, 9

_COMPARISONS = (
    ("<", "less", "greater"),
    ("<=", "less_eq", "greater_eq"),
    ("==", "equal", "equal"),
    ("/=", "not_equal", "not_equal"),
    (">", "greater", "less"),
    (">=", "greater_eq", "less_eq"),
)

OPERATORS: Final = {
    row.text: row
    for row in (
        Operator(">->", COMPOSE_POWER),
        Operator(".||.", 2, "or"),
        Operator(".^^.", 3, "xor"),
        Operator(".&&.", 4, "and"),
        *(Operator(f".{sign}", COMPARE_POWER, prim, chains=False) for sign, prim, _ in _COMPARISONS),
        *(Operator(f"{sign}.", COMPARE_POWER, prim, True, False) for sign, _, prim in _COMPARISONS),
        Operator("any_bit", COMPARE_POWER, "any_bit", chains=False),
        Operator("all_bit", COMPARE_POWER, "all_bit", chains=False),
        Operator("+", 6),
        Operator("-", 6),
        Operator(".|.", 6),
        Operator("<>", 6),
        Operator("*", 7),
        Operator("$", APPLY_POWER),
    )
}
"""By text. Any other function in backticks binds with FUNCTION_POWER."""

ARITHMETIC: Final = frozenset({"+", "-", "*", ".|.", "<>"})
"""Operators on constants."""

LOGIC: Final = frozenset({"and", "or", "xor"})
"""Primitives that are associative, so that nothing depends on where brackets stand between several of them."""

INFIX_OF: Final = {row.prim: row for row in OPERATORS.values() if row.prim and not row.mirrored}
"""How a primitive is written between its operands."""

FOREIGN: Final = {
    "&&": ".&&.",
    "&": ".&&.",
    ".&.": ".&&.",
    ".&&": ".&&.",
    "&&.": ".&&.",
    "||": ".||.",
    "|": ".||.",
    ".||": ".||.",
    "||.": ".||.",
    "^": ".^^.",
    "^^": ".^^.",
    "<": ".<",
    "<=": ".<=",
    "==": ".==",
    "!=": "./=",
    ".!=": "./=",
    "/=": "./=",
    ">": ".>",
    ">=": ".>=",
    ">>": ">->",
    ">>=": ">->",
    ">=>": ">->",
    "|>": ">->",
    "->": ">->",
    "=>": ">->",
}
"""Operators of other languages, and what to write here."""

FOREIGN_ON_NUMBERS: Final = {"|": ".|."}
"""The same after a number, comparisons apart."""
